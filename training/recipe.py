"""The training settings, and how their defaults follow from the data."""

from collections.abc import Sequence
from dataclasses import dataclass

_SMALL_BATCH, _LARGE_BATCH = 32, 128
_LARGE_DATA_SET = 10_000
_STEPS = 2_400
# Distorted characters never repeat: the network goes on learning thirty times as long.
_HANDWRITING_STEPS = 75_000
_MIN_EPOCHS, _MAX_EPOCHS = 20, 300
_QUICK_SHARE, _QUICK_MIN_EPOCHS = 0.05, 8


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a run, given the data."""

    hidden: Sequence[int]
    dropout: float
    augmentation: str
    epochs: int
    batch_size: int
    seed: int
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    ema_momentum: float | None = None  # of the averaged weights that are validated and published


def recipe_for(
    images: int,
    augmentation: str,
    *,
    hidden: Sequence[int],
    dropout: float,
    seed: int,
    epochs: int | None = None,
    quick: bool = False,
) -> Recipe:
    """Return the settings for `images` training images; `epochs` overrides the schedule's length.

    Few images are seen more often: the schedule aims at a number of steps, within bounds.
    """
    batch_size = min(images, _SMALL_BATCH if images < _LARGE_DATA_SET else _LARGE_BATCH)
    handwriting = augmentation == "handwriting"
    steps_per_epoch = -(-images // batch_size)
    planned = -(-(_HANDWRITING_STEPS if handwriting else _STEPS) // steps_per_epoch)
    planned = min(max(planned, _MIN_EPOCHS), _MAX_EPOCHS)
    if quick:
        planned = max(round(planned * _QUICK_SHARE), _QUICK_MIN_EPOCHS)
    return Recipe(
        hidden,
        dropout,
        augmentation,
        epochs or planned,
        batch_size,
        seed,
        ema_momentum=0.999 if handwriting else None,
    )
