"""Whether an image is far from those that a model was trained on.

A picture is described by the mean grey of its cells, 8 along its shorter side. Its distance is the
mean over the cells of the squared deviation from the training images' mean, in units of their
variance.
That finds another kind of picture, a blank, a wrong crop; not a fault of the size of a scratch.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from model_store.manifest import Usual
from model_store.pixels.pooling import block_means

RATE = 0.01  # of the images that are known lie beyond the threshold, at most
_SAMPLED_SIDE = 64  # of about so many rows or columns, the fewer of both, in a regular grid
_CELLS = 8  # along that side
_LEAST_DEVIATION = 1.0  # grey levels; a corner that is always black must not mean infinity

Cells = NDArray[np.float32]


class Novelty:
    """Compares images with what a bundle says of its training images."""

    def __init__(self, usual: Usual) -> None:
        self._means = np.array(usual.means, np.float32)
        self._deviations = np.array(usual.deviations, np.float32)
        self._threshold = usual.threshold

    def is_unusual(self, pixels: NDArray[np.uint8]) -> bool:
        """Tell whether one (H, W) uint8 image is farther away than 99 in 100 are."""
        cells = cell_means(pixels)
        return bool(_distances(cells, self._means, self._deviations) > self._threshold)


def describe_usual(train: Iterable[Cells], held_out: Iterable[Cells]) -> Usual:
    """Return where images lie that a model knows.

    Args:
        train: `cell_means` of images that it was trained on.
        held_out: of others like them. Where these are few, their quantile is hardly known, so that
            both must have only few images beyond the threshold.
    """
    known = np.stack(list(train))
    means = known.mean(axis=0)
    deviations = np.maximum(known.std(axis=0), np.float32(_LEAST_DEVIATION))
    distances = (_distances(one, means, deviations) for one in (known, np.stack(list(held_out))))
    return Usual(
        means=tuple(means.tolist()),
        deviations=tuple(deviations.tolist()),
        threshold=max(float(np.quantile(one, 1 - RATE, method="higher")) for one in distances),
    )


def cell_means(pixels: NDArray[np.uint8]) -> Cells:
    """Return (cells,) float32 of one (H, W) uint8 image, row by row."""
    sample = sampled(pixels)
    return block_means(sample[np.newaxis], max(1, min(sample.shape) // _CELLS)).reshape(-1)


def sampled(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a regular grid of the pixels of one (H, W) image, enough to know its greys by."""
    step = max(1, min(pixels.shape) // _SAMPLED_SIDE)
    return pixels[::step, ::step]


def _distances(cells: Cells, means: Cells, deviations: Cells) -> Cells:
    """Return the distance of each row of (..., cells)."""
    return np.asarray((((cells - means) / deviations) ** 2).mean(axis=-1), np.float32)
