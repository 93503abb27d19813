"""What a training process is given, what it tells meanwhile, and what it returns."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.inputs import Inputs
from training.learn.recipe import Recipe, steps_per_call, steps_per_epoch

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Architecture:
    """What is built; networks of one architecture can exchange weights."""

    height: int  # of the images, in pixels
    width: int
    pool: int  # the network sees means over pool x pool pixels; 1: the pixels
    labels: int
    hidden: tuple[int, ...]  # units per layer
    dropout: float

    @property
    def inputs(self) -> tuple[int, int]:
        """Rows and columns of what the first Dense layer sees."""
        return self.height // self.pool, self.width // self.pool

    @property
    def weights(self) -> int:
        """Number of weights, biases left out."""
        rows, columns = self.inputs
        sizes = (rows * columns, *self.hidden, self.labels)
        return sum(a * b for a, b in zip(sizes, sizes[1:], strict=False))


@dataclass(frozen=True, slots=True)
class Task:
    """One training: on which images, of which network, with which settings."""

    train: Inputs
    val: Inputs
    what: Architecture
    recipe: Recipe

    @property
    def steps_per_call(self) -> int:
        """Number of batches that Keras takes at a time."""
        return steps_per_call(len(self.train), self.recipe.batch_size)

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches of an epoch."""
        return steps_per_epoch(len(self.train), self.recipe.batch_size)

    @property
    def steps(self) -> int:
        """Number of batches, over all epochs."""
        return self.steps_per_epoch * self.recipe.epochs

    @property
    def step_cost(self) -> int:
        """What one step costs, in about the time of one weight and image; for estimates only."""
        return (self.what.weights + _OVERHEAD) * (self.recipe.batch_size + _UPDATE)

    @property
    def cost(self) -> int:
        """What the whole training costs, in the unit of `step_cost`."""
        return self.steps * self.step_cost


# Preparing a batch costs as much as so many weights; an update as much as so many images.
_OVERHEAD = 500_000
_UPDATE = 32


@dataclass(frozen=True, slots=True)
class EpochEnd:
    """What is known after one epoch."""

    epoch: int  # from 1
    epochs: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float

    def __str__(self) -> str:
        """Return it as one line."""
        return (
            f"epoch {self.epoch}/{self.epochs}  loss {self.loss:.4f}  accuracy {self.accuracy:.4f}"
            f"  val_loss {self.val_loss:.4f}  val_accuracy {self.val_accuracy:.4f}"
        )


@dataclass(frozen=True, slots=True)
class Listener:
    """Told what was done, in the unit of `Task.cost`, of each epoch, and where; may ask to stop."""

    cost: Callable[[int], object] = lambda _: None
    epoch: Callable[[EpochEnd], object] = lambda _: None
    stopped: Callable[[], bool] = lambda: False
    device: Callable[[str], object] = lambda _: None  # what computes: "the CPU", or a GPU's name


@dataclass(frozen=True, slots=True)
class Standardization:
    """What is subtracted from, and multiplied with, inputs in [0, 1] while training."""

    mean: Floats  # (inputs,)
    scale: float


@dataclass(frozen=True)
class Learned:
    """What a training found; its weights lie in its folder."""

    inputs: Standardization
    best_epoch: int
    history: dict[str, list[float]]
    seconds: float
    ended: str  # why: one sentence
    interrupted: bool
    val_logits: Floats  # (N, labels) of the best epoch
