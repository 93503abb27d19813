"""The training settings, and how their defaults follow from the data."""

from dataclasses import dataclass

_SMALL_BATCH, _LARGE_BATCH = 32, 128
_LARGE_DATA_SET = 10_000
_STEPS = 4_000
# Distorted characters never repeat: the network goes on learning far longer.
_HANDWRITING_STEPS = 75_000
_MIN_EPOCHS, _MAX_EPOCHS = 40, 400
_QUICK_SHARE, _QUICK_MIN_EPOCHS = 0.05, 8
# Keras takes so many steps at a time, which halves what a small network costs.
_STEPS_PER_CALL = 25


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a run, given the data and the network."""

    augmentation: str
    pixel_aspect: float  # see `augmentation`
    epochs: int
    batch_size: int
    seed: int
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    label_smoothing: float = 0.1
    ema_momentum: float | None = None  # of the averaged weights that are validated and published


def batch_size_for(images: int) -> int:
    """Return how many of `images` training images make a batch."""
    return min(images, _SMALL_BATCH if images < _LARGE_DATA_SET else _LARGE_BATCH)


def planned_epochs(images: int, *, handwriting: bool, quick: bool) -> int:
    """Return the length of the schedule for `images` training images.

    Few images are seen more often: the schedule aims at a number of steps, within bounds.
    """
    steps = _HANDWRITING_STEPS if handwriting else _STEPS
    planned = -(-steps // steps_per_epoch(images, batch_size_for(images)))
    planned = min(max(planned, _MIN_EPOCHS), _MAX_EPOCHS)
    return max(round(planned * _QUICK_SHARE), _QUICK_MIN_EPOCHS) if quick else planned


def steps_per_call(images: int, batch_size: int) -> int:
    """Return how many steps Keras takes at a time; always that many, so an epoch is whole calls."""
    return min(_STEPS_PER_CALL, -(-images // batch_size))


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Return how many batches make an epoch: every image once, filled up to whole calls."""
    together = steps_per_call(images, batch_size)
    return -(-images // (batch_size * together)) * together
