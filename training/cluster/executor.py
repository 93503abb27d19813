"""The processors of a Ray cluster, as an executor of the standard library."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from training.cluster.connection import connected
from training.errors import ClusterError

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Shared:
    """An array that lies with the cluster; a node that asks for it gets it once."""

    reference: Any  # a ray.ObjectRef

    def __call__(self, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return its rows at `chosen`, (n,) indices."""
        import ray

        rows: NDArray[np.float32] = ray.get(self.reference)[chosen]
        return rows


class ClusterExecutor(Executor):
    """Makes each call on a processor of some node; one whose node goes is made again elsewhere."""

    def __init__(self) -> None:
        """Take the cluster that this process is connected with."""
        import ray

        self._call = ray.remote(num_cpus=1)(_called)

    def submit(
        self, function: Callable[P, R], /, *arguments: P.args, **named: P.kwargs
    ) -> "Future[R]":
        """Return what becomes the result.

        It raises what the function raises there, or ClusterError where its node could not make it.
        """
        told: Future[R] = Future()
        asked = self._call.remote(function, *arguments, **named).future()
        asked.add_done_callback(partial(_pass_on, told))
        return told

    def share(self, array: NDArray[np.float32]) -> Shared:
        """Leave an array with the cluster, to stand in what is submitted."""
        import ray

        return Shared(ray.put(array))


@contextmanager
def cluster_executor(address: str) -> Iterator[ClusterExecutor]:
    """Connect to a cluster for as long as the block runs; what is under way at its end is dropped.

    Raises:
        ClusterError: as `connected`.
    """
    with connected(address):
        yield ClusterExecutor()


def _called(function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
    return function(*arguments, **named)


def _pass_on(told: "Future[Any]", asked: "Future[Any]") -> None:
    if not told.set_running_or_notify_cancel():
        return
    error = asked.exception()
    if error is None:
        told.set_result(asked.result())
    else:
        told.set_exception(_plain(error))


def _plain(error: BaseException) -> BaseException:
    """Return what was raised on the node, without the story of how it came here."""
    from ray.exceptions import RayTaskError

    if isinstance(error, RayTaskError):
        return error.cause  # type: ignore[no-any-return]  # Ray is Any here
    reason = str(error).strip().partition("\n")[0]
    return ClusterError(f"A node of the cluster could not do its part: {reason}")
