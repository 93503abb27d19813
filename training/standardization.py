"""What the training network does with its pixels before the first kernel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_REFERENCE_INPUTS = 784
_MIN_STD = 1e-3


@dataclass(frozen=True, slots=True)
class Standardization:
    """What is subtracted from, and multiplied with, pixels in [0, 1]."""

    mean: NDArray[np.float32]  # (H*W,)
    scale: float


def standardization(mean: NDArray[np.float32], std: float) -> Standardization:
    """Return the training-time input scaling for images of `mean` (H*W,) and one global `std`."""
    return Standardization(mean, _REFERENCE_INPUTS / mean.size / max(std, _MIN_STD))
