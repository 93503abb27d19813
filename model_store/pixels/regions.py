"""Which of the ink in a picture is the character's own."""

import numpy as np
from numpy.typing import NDArray

from model_store.pixels.components import Component, connected_components

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
    labels, regions = connected_components(small)
    solid = set(np.unique(labels[_pooled(strength > _SOLID * 255, _REGION_SIDE)[0]]).tolist())
    regions = [region for region in regions if region.label in solid]
    own = np.isin(labels, [region.label for region in _own_regions(regions, labels.shape)])
    # One cell more, for the soft edge of strokes.
    wide = _grown(own).repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = strength.shape
    return strength * wide[:height, :width]


def _pooled(mask: NDArray[np.bool_], side: int) -> tuple[NDArray[np.bool_], int]:
    """Return a copy with sides of at most `side` cells, each set if any of its pixels is."""
    factor = -(-max(mask.shape) // side)
    height, width = (-(-length // factor) for length in mask.shape)
    padded = np.zeros((height * factor, width * factor), np.bool_)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    cells = padded.reshape(height, factor, width, factor)
    return np.asarray(cells.any(axis=(1, 3))), factor


def _own_regions(regions: list[Component], shape: tuple[int, ...]) -> list[Component]:
    inside = [region for region in regions if not _touches_border(region, shape)]
    # Edges of the sheet and shadows reach the border; a character that does so stands alone there.
    candidates = inside if inside and inside[0].area >= 0.1 * regions[0].area else regions
    return [region for region in candidates if region.area >= _SPECK * candidates[0].area]


def _touches_border(region: Component, shape: tuple[int, ...]) -> bool:
    height, width = shape
    return region.top == 0 or region.left == 0 or region.bottom == height or region.right == width


def _grown(own: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return 1 for every cell of `own` and its eight neighbours."""
    padded = np.pad(own, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    return (rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]).astype(np.uint8)
