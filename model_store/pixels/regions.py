"""Which of the ink in a picture is the character's own."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_REGION_EDGE = 0.4  # of full ink: where a region of ink begins
_SOLID = 0.7  # of full ink: what a region reaches somewhere, if it is not a soft shadow
_SPECK = 0.03  # of the largest region's area
_REGION_SIDE = 128  # longest side of the copy in which regions are told apart


def own_ink(strength: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a copy with only the character's own regions: no specks, rules, edges of the sheet.

    Args:
        strength: (h, w), as from `model_store.pixels.paper`.
    """
    small, factor = _pooled(strength > _REGION_EDGE * 255, _REGION_SIDE)
    regions = _regions(small)
    solid = regions[_pooled(strength > _SOLID * 255, _REGION_SIDE)[0]]
    areas = np.zeros(small.size + 1, np.intp)  # by number, of those that count
    areas[solid] = np.bincount(regions.ravel())[solid]
    inside = areas.copy()
    for border in (regions[0], regions[-1], regions[:, 0], regions[:, -1]):
        inside[border] = 0
    # Edges of the sheet and shadows reach the border; a character that does so stands alone there.
    counted = inside if inside.max() >= 0.1 * areas.max() else areas
    own = (counted > 0) & (counted >= _SPECK * counted.max())
    # One cell more, for the soft edge of strokes.
    kept: NDArray[np.uint8] = _highest_near(own[regions].astype(np.uint8))
    height, width = strength.shape
    wide = kept.repeat(factor, axis=0).repeat(factor, axis=1)
    return strength * wide[:height, :width]


def _pooled(mask: NDArray[np.bool_], side: int) -> tuple[NDArray[np.bool_], int]:
    """Return a copy with sides of at most `side` cells, each set if any of its pixels is."""
    factor = -(-max(mask.shape) // side)
    height, width = (-(-length // factor) for length in mask.shape)
    padded = np.zeros((height * factor, width * factor), np.bool_)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    cells = padded.reshape(height, factor, width, factor)
    return np.asarray(cells.any(axis=(1, 3))), factor


def _regions(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return (h, w): a number from 1 on for each 8-connected region of (h, w); 0 outside of them.

    Every cell begins as a region of its own. Each takes the highest number that it touches, until
    none touches another; at least half of them are gone each time.
    """
    themselves = np.arange(mask.size + 1)
    regions = np.where(mask, themselves[1:].reshape(mask.shape), 0)
    while True:
        numbers = themselves.copy()  # of each region, the one that it becomes
        np.maximum.at(numbers, regions.ravel(), _highest_near(regions).ravel())
        numbers[0] = 0
        if np.array_equal(numbers, themselves):
            return regions
        while not np.array_equal(further := numbers[numbers], numbers):
            numbers = further
        regions = numbers[regions]


def _highest_near(cells: NDArray[Any]) -> NDArray[Any]:
    """Return the highest value of each cell and its eight neighbours, (h, w)."""
    padded = np.pad(cells, 1)
    rows = np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])
    return np.asarray(np.maximum(np.maximum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:]))
