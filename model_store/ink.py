"""A drawn or photographed character in the form that MNIST has.

MNIST's own recipe (LeCun et al. 1998, section III.A): size-normalised to fit a 20 x 20 box with
the aspect ratio kept, antialiased, then centred in 28 x 28 by its centre of mass. What comes before
it here makes the ink of a photograph comparable: polarity, lighting, noise, specks.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model_store.components import Component, connected_components
from model_store.spec import ImageSpec, InkNormalization

# Longest side, in pixels, of the image in which the ink is looked for and cut out.
WORKING_SIDE = 512

_MASK_SIDE = 128  # of the copy in which lighting and regions are judged
_FLAT_SPREAD = 4  # grey levels; a border that varies less is one flat background
_FAINTEST_INK = 14.0  # grey levels between ink and paper, below which there is no ink
_EDGE = 0.35  # of full ink: where a region begins
_FRINGE = 0.12  # of full ink: where the antialiased edge of a kept region ends
_SPECK = 0.03  # of the largest region's area
_STRONG = 230  # a glyph whose strongest stroke reaches this is left as it is


def normalize_ink(gray: NDArray[np.uint8], spec: ImageSpec) -> NDArray[np.uint8]:
    """Bring one character into the form that `spec.ink` describes.

    Args:
        gray: (h, w) of any size, ink on paper of either polarity.
        spec: with `ink` set.

    Returns:
        (H, W) uint8: bright ink on exact black, scaled to the box, centred by mass. All black
        if there is no ink. An image that has this form already comes back unchanged.
    """
    if spec.ink is None:
        raise ValueError("Expected a spec with ink normalisation. Received: ink is None")
    strength = _ink_strength(gray)
    if not _fits(_bounding_box(strength), spec.ink.box):
        strength = _without_specks(strength)
    box = _bounding_box(strength)
    if box is None:
        return np.zeros((spec.height, spec.width), np.uint8)
    if _fits(box, spec.ink.box):  # down to the faintest fringe, which scaling would cut
        return _centered(strength, spec.height, spec.width)
    top, left, bottom, right = box
    glyph = _scaled(strength[top:bottom, left:right], spec.ink.box)
    return _centered(glyph, spec.height, spec.width)


def is_ink_form(images: NDArray[np.uint8]) -> InkNormalization | None:
    """Tell whether images already look like the result of ink normalisation, as MNIST's do.

    Args:
        images: (N, H, W), a sample of training images.

    Returns:
        The normalisation that leaves at least 95 in 100 of them as they are and keeps a margin
        around the ink; None for photographs, textures and everything else.
    """
    height, width = images.shape[1:]
    sample = images[:: max(1, len(images) // 400)]
    boxes = (_bounding_box(image) for image in sample)
    sides = [_longest(box) for box in boxes if box is not None]
    if not sides or np.median(sample) != 0:
        return None
    box = int(np.bincount(sides).argmax())
    if box < 5 or box > 0.85 * min(height, width):
        return None
    ink = InkNormalization(box=box)
    spec = ImageSpec.for_size(height, width, ink)
    unchanged = np.mean([np.array_equal(normalize_ink(image, spec), image) for image in sample])
    return ink if unchanged >= 0.95 else None


def _ink_strength(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (h, w): 0 for paper, 255 for full ink, whatever the polarity and the lighting."""
    border = _border(gray)
    paper = int(np.median(border))
    spread = float(np.percentile(np.abs(border.astype(np.int16) - paper), 90))
    if spread > _FLAT_SPREAD:
        return _stretched(_unevenly_lit_ink(gray))
    signed = gray.astype(np.int16) - paper
    darker, lighter = -int(signed.min()), int(signed.max())
    ink = np.clip(signed if lighter > darker else -signed, 0, 255).astype(np.uint8)
    if spread == 0 and max(darker, lighter) >= _STRONG:
        return ink
    return _stretched(ink.astype(np.float32))


def _border(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    ring = max(1, min(gray.shape) // 32)
    sides = (gray[:ring], gray[-ring:], gray[ring:-ring, :ring], gray[ring:-ring, -ring:])
    return np.concatenate([side.ravel() for side in sides])


def _unevenly_lit_ink(gray: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return (h, w) grey levels of ink: how far each pixel departs from the paper around it."""
    small = _reduced(gray, _MASK_SIDE)
    sign = -1.0 if _ink_is_dark(small) else 1.0
    # For bright ink everything is done on the negative, so that ink is always dark.
    dark_ink = small if sign < 0 else 255.0 - small
    paper = _closed(dark_ink, max(3, min(small.shape) // 3))
    size = (gray.shape[1], gray.shape[0])
    wide = np.asarray(Image.fromarray(paper).resize(size, Image.Resampling.BILINEAR))
    level = gray.astype(np.float32)
    ink: NDArray[np.float32] = wide - (level if sign < 0 else 255.0 - level)
    return ink


def _ink_is_dark(small: NDArray[np.float32]) -> bool:
    """Fit a smooth surface to the paper, first to the border, and see to which side ink departs."""
    height, width = small.shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], axis=-1).reshape(-1, 6)
    levels = small.ravel().astype(np.float64)
    weights = (np.maximum(np.abs(x), np.abs(y)) > 0.85).ravel().astype(np.float64)
    departure = levels
    for _ in range(6):
        # Normal equations: six unknowns, and well-conditioned on [-1, 1].
        weighted = (terms * np.square(weights)[:, None]).T
        surface = terms @ np.linalg.lstsq(weighted @ terms, weighted @ levels, rcond=None)[0]
        departure = levels - surface
        scale = 4.0 * max(2.0, float(np.median(np.abs(departure))))
        weights = np.clip(1 - (departure / scale) ** 2, 0, None)
    low, high = np.percentile(departure, [1, 99])
    return bool(-low > high)


def _closed(level: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Greyscale closing: fill everything dark that is narrower than `side` pixels."""
    return -_running_max(-_running_max(level, side), side)


def _running_max(level: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    reach = side // 2
    for axis in (0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (reach, reach)
        padded = np.pad(level, pad, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=axis)
        level = windows.max(axis=-1)
    return level


def _stretched(ink: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Map paper to 0 and full ink to 255; no ink gives all 0."""
    middle = float(np.median(ink))
    noise = 1.4826 * float(np.median(np.abs(ink - middle)))
    floor = middle + 3.0 * noise
    full = _full_ink(ink)
    if full - middle < max(_FAINTEST_INK, 5.0 * noise):
        return np.zeros(ink.shape, np.uint8)
    scaled: NDArray[np.float32] = (ink - floor) * (255.0 / (full - floor))
    return np.clip(scaled, 0, 255).astype(np.uint8)


def _full_ink(ink: NDArray[np.float32]) -> float:
    """Return the level of solid ink: the typical one among the strongest pixels."""
    small = _reduced(ink, _MASK_SIDE)
    strongest = float(small.max())
    return float(np.percentile(small[small >= 0.5 * strongest], 75))


def _reduced(level: NDArray[np.uint8] | NDArray[np.float32], side: int) -> NDArray[np.float32]:
    factor = max(1, round(max(level.shape) / side))
    image = Image.fromarray(level.astype(np.float32))
    return np.asarray(image if factor == 1 else image.reduce(factor))


def _without_specks(strength: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a copy in which only the character's own regions are left."""
    small = _reduced(strength, _MASK_SIDE)
    labels, regions = connected_components(small > _EDGE * 255)
    if len(regions) < 2:
        return strength
    kept = _own_regions(regions, labels.shape)
    if len(kept) == len(regions):
        return strength
    own: NDArray[np.bool_] = np.isin(labels, [region.label for region in kept])
    return np.where(_grown(own, strength.shape), strength, np.uint8(0))


def _own_regions(regions: list[Component], shape: tuple[int, ...]) -> list[Component]:
    inside = [region for region in regions if not _touches_border(region, shape)]
    # Paper edges and shadows reach the border; a character that does so stands alone there.
    candidates = inside if inside and inside[0].area >= 0.1 * regions[0].area else regions
    return [region for region in candidates if region.area >= _SPECK * candidates[0].area]


def _touches_border(region: Component, shape: tuple[int, ...]) -> bool:
    height, width = shape
    return region.top == 0 or region.left == 0 or region.bottom == height or region.right == width


def _grown(own: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return a mask, dilated by a pixel of the small copy, at the size of the image."""
    wide = _running_max(own.astype(np.float32), 3)
    image = Image.fromarray((wide > 0).astype(np.uint8))
    wide_mask: NDArray[np.uint8] = np.asarray(
        image.resize((shape[1], shape[0]), Image.Resampling.NEAREST)
    )
    return wide_mask > 0


def _bounding_box(strength: NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
    mask = strength > _FRINGE * 255
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _longest(box: tuple[int, int, int, int]) -> int:
    top, left, bottom, right = box
    return max(bottom - top, right - left)


def _fits(box: tuple[int, int, int, int] | None, side: int) -> bool:
    return box is not None and abs(_longest(box) - side) <= 1


def _scaled(glyph: NDArray[np.uint8], box: int) -> NDArray[np.uint8]:
    longest = max(glyph.shape)
    height, width = (max(1, round(side * box / longest)) for side in glyph.shape)
    image = Image.fromarray(np.ascontiguousarray(glyph))
    resized = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    peak = float(np.percentile(resized, 99))
    if peak >= _STRONG or peak == 0:
        return resized
    # A thin line loses its brightness when it becomes thinner than a pixel.
    return np.clip(resized * (255.0 / peak), 0, 255).astype(np.uint8)


def _centered(glyph: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Place a glyph so that its centre of mass falls on pixel (height / 2, width / 2)."""
    mass = glyph.astype(np.float64)
    total = mass.sum()
    canvas = np.zeros((height, width), np.uint8)
    row = float(mass.sum(axis=1) @ np.arange(glyph.shape[0])) / total
    column = float(mass.sum(axis=0) @ np.arange(glyph.shape[1])) / total
    _paste(canvas, glyph, round(height / 2 - row), round(width / 2 - column))
    return canvas


def _paste(canvas: NDArray[np.uint8], glyph: NDArray[np.uint8], top: int, left: int) -> None:
    """Write the part of `glyph` that falls inside `canvas`."""
    bottom, right = top + glyph.shape[0], left + glyph.shape[1]
    rows = slice(max(0, top), min(canvas.shape[0], bottom))
    columns = slice(max(0, left), min(canvas.shape[1], right))
    part = glyph[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    canvas[rows, columns] = part
