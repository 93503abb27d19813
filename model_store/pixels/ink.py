"""A drawn or photographed character in the form that MNIST has.

MNIST's own recipe (LeCun et al. 1998, section III.A): size-normalised to fit a 20 x 20 box with
the aspect ratio kept, antialiased, then centred in 28 x 28 by its centre of mass.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model_store.pixels.paper import clean_ink, photographed_ink
from model_store.pixels.regions import own_ink
from model_store.spec import ImageSpec, InkNormalization

# Longest side, in pixels, of the image in which the ink is looked for and cut out.
WORKING_SIDE = 512

_HALF_INK = 127  # what is stronger counts for the size of a character
_STRONG = 230  # a character whose strokes reach this is left as it is

Gray = NDArray[np.uint8]
Box = tuple[int, int, int, int]  # left, top, right, bottom; the last two exclusive


def normalize_ink(gray: Gray, spec: ImageSpec) -> Gray:
    """Bring one character into the form that `spec.ink` describes.

    Args:
        gray: (h, w) of any size up to `WORKING_SIDE`, ink on paper of either polarity.
        spec: with `ink` set.

    Returns:
        (H, W) uint8: bright ink on exact black, scaled to the box, centred by mass. All black
        if there is no ink. An image that has this form already comes back unchanged.
    """
    if spec.ink is None:
        raise ValueError("Expected a spec with ink normalisation. Received: ink is None")
    strength = clean_ink(gray)
    if strength is None:
        strength = _scaled(own_ink(photographed_ink(gray)), spec.ink.box)
    elif not _fits(strength, spec.ink.box):
        strength = _scaled(own_ink(strength), spec.ink.box)
    return _centered(strength, spec.height, spec.width)


def is_ink_form(images: Gray) -> InkNormalization | None:
    """Tell whether images already look like the result of ink normalisation, as MNIST's do.

    Args:
        images: (N, H, W), a sample of training images.

    Returns:
        The normalisation that leaves at least 95 in 100 of them as they are and keeps a margin
        around the ink; None for photographs, textures and everything else.
    """
    height, width = images.shape[1:]
    sample = images[:: max(1, len(images) // 400)]
    sides = [_longest(box) for image in sample if (box := _bounding_box(image, _HALF_INK))]
    if not sides or np.median(sample) != 0:
        return None
    ink = InkNormalization(box=int(np.bincount(sides).argmax()))
    if ink.box < 5 or ink.box > 0.85 * min(height, width):
        return None
    spec = ImageSpec.for_size(height, width, ink)
    unchanged = np.mean([np.array_equal(normalize_ink(image, spec), image) for image in sample])
    return ink if unchanged >= 0.95 else None


def _fits(strength: Gray, side: int) -> bool:
    """Tell whether the ink has its size already, counted with or without its soft edges."""
    boxes = (_bounding_box(strength, threshold) for threshold in (0, _HALF_INK))
    return any(box is not None and abs(_longest(box) - side) <= 1 for box in boxes)


def _bounding_box(strength: Gray, threshold: int) -> Box | None:
    mask = strength > threshold
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _longest(box: Box) -> int:
    left, top, right, bottom = box
    return max(right - left, bottom - top)


def _scaled(strength: Gray, side: int) -> Gray:
    """Return the ink, cut out with its soft edges, its longest side `side` pixels."""
    box = _bounding_box(strength, _HALF_INK)
    if box is None or abs(_longest(box) - side) <= 1:
        return strength
    left, top, right, bottom = box
    margin = 2 + _longest(box) // 8
    cut = strength[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin]
    height, width = (max(1, round(length * side / _longest(box))) for length in cut.shape)
    image = Image.fromarray(np.ascontiguousarray(cut))
    return _brightened(np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)))


def _brightened(strength: Gray) -> Gray:
    """Give a thin line back the brightness that it lost by becoming thinner than a pixel."""
    ordered = np.sort(strength, axis=None)
    strong = ordered[np.searchsorted(ordered, ordered[-1] // 2) :]
    peak = int(strong[len(strong) * 9 // 10])
    if peak >= _STRONG or peak == 0:
        return strength
    brighter: NDArray[np.float32] = strength * np.float32(255 / peak)
    return np.minimum(brighter, 255).astype(np.uint8)


def _centered(strength: Gray, height: int, width: int) -> Gray:
    """Place ink so that its centre of mass falls on pixel (height / 2, width / 2)."""
    canvas = np.zeros((height, width), np.uint8)
    mass = strength.sum(axis=1, dtype=np.int64), strength.sum(axis=0, dtype=np.int64)
    total = int(mass[0].sum())
    if total:
        row, column = (float(each @ np.arange(len(each))) / total for each in mass)
        _paste(canvas, strength, round(height / 2 - row), round(width / 2 - column))
    return canvas


def _paste(canvas: Gray, strength: Gray, top: int, left: int) -> None:
    """Write the part of `strength` that falls inside `canvas`."""
    part = strength[max(0, -top) :, max(0, -left) :]
    place = canvas[max(0, top) :, max(0, left) :][: len(part), : part.shape[1]]
    place[:] = part[: len(place), : place.shape[1]]
