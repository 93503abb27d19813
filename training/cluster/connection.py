"""A connection to a Ray cluster: always to the one that was named, never to one that is found."""

import logging
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from model_store.calling import what_brings_ray
from training.errors import ClusterError

LOCAL = "local"
_ADDRESS = re.compile(r"(?P<host>[\w.-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>\d{1,5})", re.ASCII)
_ANSWERS_WITHIN_SECONDS = 5.0
# Where the rooms are, for processes that Ray starts; on other machines they are at the same place.
_ROOMS = Path(__file__).parents[2]


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect to a cluster for as long as the block runs.

    Args:
        address: "local" starts a cluster of its own on this machine, which ends with the block;
            else HOST:PORT of a cluster's head, of which this machine is a node.

    Raises:
        ClusterError: Ray is not installed, or there is no such cluster.
    """
    require_cluster(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # the rest is not for who waits
    import ray

    stopping = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address,
            include_dashboard=False if address == LOCAL else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": {"PYTHONPATH": str(_ROOMS)}},
        )
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ClusterError(f"Cannot join the Ray cluster {address}: {reason}") from error
    try:
        signal.signal(signal.SIGTERM, stopping)  # Ray has put its own there
        yield
    finally:
        ray.shutdown()


def require_cluster(address: str) -> None:
    """See that Ray is here, and that somebody answers at `address`, as far as that is quick.

    Raises:
        ClusterError: as `connected`.
    """
    if address != LOCAL:
        _require_somebody(address)
    if find_spec("ray") is None:
        raise ClusterError(f"Ray is not installed here. {what_brings_ray()}")


def _require_somebody(address: str) -> None:
    """Refuse what is no address, and one where nobody listens; Ray would try for minutes."""
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"]) > 65535:
        raise ClusterError(
            f"Expected --cluster local, or HOST:PORT of a Ray cluster. Received: {address}"
        )
    try:
        where = match["host"].strip("[]"), int(match["port"])
        socket.create_connection(where, _ANSWERS_WITHIN_SECONDS).close()
    except OSError as error:
        raise ClusterError(
            f"Expected a Ray cluster at {address}. Nobody answers there: {error.strerror or error}"
        ) from error
