"""What the training loop tells while it works."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EpochEnd:
    """What is known after one epoch."""

    epoch: int  # from 1
    epochs: int
    seconds: float
    images: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float


@dataclass(frozen=True, slots=True)
class Listener:
    """Called with the images of each batch, and after each epoch."""

    images: Callable[[int], None]
    epoch: Callable[[EpochEnd], None]
