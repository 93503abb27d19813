"""Short trainings side by side on a cluster, one to a processor."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace

from training.cluster.executor import ClusterExecutor, cluster_executor
from training.data.inputs import Inputs
from training.errors import TrainingInterrupted
from training.learn.task import Floats, Listener, Task


@dataclass(frozen=True, slots=True)
class ClusterTrials:
    """Does on a cluster what `Workers.trials` does here.

    Args:
        executor: runs the trials.
        told: called with the cost of each trial that ended.
    """

    executor: ClusterExecutor
    told: Callable[[int], object]

    def trials(self, tasks: Sequence[Task]) -> list[Floats]:
        """Return the validation logits after a short run of each task, in order.

        Raises:
            TrainingInterrupted: Ctrl-C.
            ClusterError: a node could not do it, as when its memory runs out.
        """
        try:
            return list(map(self._result, tasks, self._started(tasks)))
        except KeyboardInterrupt:
            raise TrainingInterrupted(
                "Stopped while the settings were being chosen; nothing to keep."
            ) from None

    def _started(self, tasks: Sequence[Task]) -> "list[Future[Floats]]":
        shared: dict[int, Inputs] = {}  # the images of a fold are those of many tasks

        def sent(images: Inputs) -> Inputs:
            if id(images) not in shared:
                where = self.executor.share(images.everything())
                shared[id(images)] = Inputs(images.truth, where)
            return shared[id(images)]

        return [
            self.executor.submit(_trial, replace(one, train=sent(one.train), val=sent(one.val)))
            for one in tasks
        ]

    def _result(self, task: Task, future: "Future[Floats]") -> Floats:
        logits = future.result()
        self.told(task.cost)
        return logits


@contextmanager
def cluster_trials(address: str, listener: Listener) -> Iterator[ClusterTrials]:
    """Connect to a cluster for as long as the block runs.

    Raises:
        ClusterError: as `connected`.
    """
    with cluster_executor(address) as executor:
        yield ClusterTrials(executor, listener.cost)


def _trial(task: Task) -> Floats:
    from model_store.engines.keras import runtime, set_threads

    set_threads(runtime()[1], 1)
    from training.learn.trainer import trial

    return trial(task, Listener())
