"""Images and the Keras model's answers to them: what its engines are compared with."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BATCH = 32

Images = NDArray[np.uint8]
Probabilities = NDArray[np.float32]
Predict = Callable[[Images], Probabilities]


@dataclass(frozen=True, slots=True)
class Answers:
    """What the model says of some images."""

    images: Images  # (N, H, W), N >= 1
    probabilities: Probabilities  # (N, labels)


def answer(predict: Predict, images: Images) -> Answers:
    """Ask `predict` for the probabilities of (N, H, W) uint8 images, N >= 1, in batches."""
    starts = range(0, len(images), _BATCH)
    parts = [predict(images[start : start + _BATCH]) for start in starts]
    return Answers(images, np.concatenate(parts))
