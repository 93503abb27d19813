"""Trials on a cluster, which is made up: what is sent to it, and in which order answers come."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from training.cluster.executor import ClusterExecutor
from training.cluster.trials import ClusterTrials
from training.data.inputs import Inputs
from training.errors import ClusterError, TrainingInterrupted
from training.learn.recipe import Recipe
from training.learn.task import Architecture, Task


def images(count: int) -> Inputs:
    numbers = np.arange(count, dtype=np.float32)[:, None, None]
    return Inputs(np.arange(count) % 3, numbers.__getitem__)


@dataclass
class FakeCluster(Executor):
    """Answers with the augmentation's length; later tasks are ready first."""

    error: BaseException | None = None
    shared: list[NDArray[np.float32]] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)

    def share(self, array: NDArray[np.float32]) -> Callable[[NDArray[np.int64]], Any]:
        self.shared.append(array)
        return array.__getitem__

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **_: Any) -> "Future[Any]":
        del function
        (task,) = arguments
        self.tasks.append(task)
        future: Future[Any] = Future()
        if self.error is None:
            future.set_result(np.full((len(task.val), 3), len(task.recipe.augmentation)))
        else:
            future.set_exception(self.error)
        return future


def tasks() -> list[Task]:
    what = Architecture(8, 8, 8, 3, (4,), 0.1)
    folds = [(images(20), images(5)), (images(30), images(6))]
    return [
        Task(*fold, what, Recipe(name, 1.0, epochs=2, batch_size=4, seed=0))
        for name in ("none", "small", "any-angle")
        for fold in folds
    ]


def trials(cluster: FakeCluster, told: list[int]) -> ClusterTrials:
    return ClusterTrials(cast(ClusterExecutor, cluster), told.append)


def test_images_of_a_fold_are_sent_once_and_answers_keep_their_order():
    cluster, told, asked = FakeCluster(), list[int](), tasks()
    answers = trials(cluster, told).trials(asked)

    assert [(a.shape[0], a[0, 0]) for a in answers] == [
        (images, len(name)) for name in ("none", "small", "any-angle") for images in (5, 6)
    ]
    assert [len(array) for array in cluster.shared] == [20, 5, 30, 6]
    sent = cluster.tasks[-1].train
    assert (sent.read(np.array([3, 7])) == asked[-1].train.read(np.array([3, 7]))).all()
    assert told == [task.cost for task in asked]


def test_what_a_trial_raises_ends_the_choice():
    with pytest.raises(ClusterError, match="went"):
        trials(FakeCluster(ClusterError("it went")), []).trials(tasks())


def test_ctrl_c_while_waiting_is_said():
    with pytest.raises(TrainingInterrupted, match="nothing to keep"):
        trials(FakeCluster(KeyboardInterrupt()), []).trials(tasks())
