"""Ink told apart from the paper it stands on, whatever the polarity, the light and the noise."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Gray = NDArray[np.uint8]

_FLAT_SPREAD = 4  # grey levels; a border that varies less is one flat background
_BELOW = 64  # grey levels less ink than paper that noise can make
_FAINTEST_INK = 12.0  # grey levels between ink and paper, below which there is no ink
_NOISE_FREE = 6.0  # times the noise of the paper, below which there is no ink either
_STRONG = 230  # clean ink that reaches this needs no stretching
_WIDEST_STROKE = 0.35  # of the longest side; wider darkness is shadow
_SHEET_SOLID = 0.78  # of its bounding box: a sheet of paper, with ink on it
_POLARITY_SIDE = 96  # longest side of the copy in which polarity is judged


def clean_ink(gray: Gray) -> Gray | None:
    """Return strong ink on an exactly even background as bright on black, otherwise unchanged.

    Args:
        gray: (h, w), of either polarity.

    Returns:
        (h, w) uint8, the background 0; None for a photograph, a scan, or something faint.
    """
    ink, contrast, spread = _plain_ink(gray)
    return None if spread or contrast < _STRONG or _sheet(ink > 127) is not None else ink


def photographed_ink(gray: Gray) -> Gray:
    """Return how much ink there is at each pixel of a picture of ink on paper.

    Args:
        gray: (h, w), one character, of either polarity; sides up to a few hundred pixels.

    Returns:
        (h, w) uint8: 0 for paper, 255 for full ink; all 0 where no ink stands out.
    """
    ink, contrast, spread = _plain_ink(gray)
    if 4 * spread > contrast:
        return _stretched(_unevenly_lit_ink(gray))
    if (inside := _sheet(ink > contrast // 2)) is not None:
        strength = np.zeros_like(gray)
        strength[inside] = _stretched(_unevenly_lit_ink(gray[inside]))
        return strength
    return _stretched(_unevenly_lit_ink(gray) if spread > _FLAT_SPREAD else ink.astype(np.float32))


def _plain_ink(gray: Gray) -> tuple[Gray, int, int]:
    """Return the ink on paper as even as its border, its contrast, and the border's spread.

    Paper is the usual level of the border; the spread is that of eight in ten of its pixels.
    """
    border = np.sort(_border(gray, max(1, min(gray.shape) // 32)))
    tenth = len(border) // 10
    paper, spread = int(border[len(border) // 2]), int(border[-1 - tenth]) - int(border[tenth])
    darker, brighter = paper - int(gray.min()), int(gray.max()) - paper
    ink = paper - np.minimum(gray, paper) if darker > brighter else np.maximum(gray, paper) - paper
    return ink, max(darker, brighter), spread


def _sheet(mask: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """Return where the sheet is, if what differs from an even border is one, lying on a desk."""
    covered = np.count_nonzero(mask)
    if covered <= mask.size // 2:
        return None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    margin = 2 + max(mask.shape) // 64  # its edge is not ink either
    top, bottom = int(rows[0]) + margin, int(rows[-1]) + 1 - margin
    left, right = int(columns[0]) + margin, int(columns[-1]) + 1 - margin
    # Even the boldest character leaves more of its box open than that.
    solid = covered > _SHEET_SOLID * len(rows) * len(columns)
    if not solid or top >= bottom or left >= right:
        return None
    return slice(top, bottom), slice(left, right)


def _border(gray: Gray, ring: int) -> Gray:
    sides = (gray[:ring], gray[-ring:], gray[ring:-ring, :ring], gray[ring:-ring, -ring:])
    return np.concatenate([side.ravel() for side in sides])


def _unevenly_lit_ink(gray: Gray) -> NDArray[np.float32]:
    """Return (h, w) grey levels by which each pixel departs from the paper around it, to ink."""
    smooth = _smoothed(gray)
    side = _window(gray.shape)
    if not _ink_is_dark(gray):
        return np.subtract(gray, _opened(smooth, side), dtype=np.float32)
    # Smoothing keeps noise out, and softens the edge of a shadow, which without it stays sharp.
    paper = np.minimum(_closed(smooth, side), _closed(gray, side))
    paper = np.maximum(paper, 1).astype(np.float32)
    # Ink reflects a share of the light that falls on it: less in a shadow.
    reflected: NDArray[np.float32] = np.divide(gray, paper, dtype=np.float32)
    return (1 - reflected) * np.float32(np.median(paper))


def _ink_is_dark(gray: Gray) -> bool:
    """Tell whether ink is darker than paper.

    Closing and opening disagree where there is fine detail: strokes, and what they enclose. The
    plain surroundings of that are paper. Shadows, and the desk beside the sheet, are plain too,
    since they reach beyond the picture, but there is more paper around ink than of these.
    """
    small = _smoothed(_reduced(gray, _POLARITY_SIDE))
    side = _window(small.shape)
    high, low = _closed(small, side).astype(np.int16), _opened(small, side).astype(np.int16)
    contrast = high - low
    detail = contrast > contrast.max() // 2
    plain = (contrast <= contrast.max() // 4).astype(np.float32)
    near = _window_sum(plain, side)
    around = _window_sum(plain * small, side) / np.maximum(near, 1)
    decided = detail & (near > 0.5)
    if not decided.any():  # strokes all over: what the border is mostly made of is paper
        return bool(np.median(_border(small, 1)) * 2 > int(small.min()) + int(small.max()))
    brighter = 2 * around > high + low
    return bool(brighter[decided].mean() > 0.5)


def _window_sum(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return the sum over the `side` x `side` window around each pixel, as far as there is one."""
    reach = side // 2
    for _ in range(2):
        total = np.cumsum(np.pad(values, ((reach + 1, reach), (0, 0))), axis=0)
        values = (total[2 * reach + 1 :] - total[: -2 * reach - 1]).T
    return values


def _window(shape: tuple[int, ...]) -> int:
    return max(3, round(max(shape) * _WIDEST_STROKE))


def _smoothed(gray: Gray) -> Gray:
    """Average 3 x 3 pixels, so that the brightest noise does not pass for the paper's level."""
    if min(gray.shape) < 48:  # strokes of a pixel or two would go as well
        return gray
    image = Image.fromarray(gray)
    return np.asarray(image.filter(ImageFilter.BoxBlur(1)))


def _closed(level: Gray, side: int) -> Gray:
    """Greyscale closing: fill everything dark that is narrower than `side` pixels.

    What is dark beyond the edge as well, like a shadow that enters the picture, stays dark.
    """
    reach = side // 2
    padded = np.pad(level, 2 * reach, mode="edge")
    dilated = _running(np.maximum, padded, 2 * reach + 1)
    return _running(np.minimum, dilated, 2 * reach + 1)


def _opened(level: Gray, side: int) -> Gray:
    """Greyscale opening: remove everything bright that is narrower than `side` pixels."""
    return ~_closed(~level, side)


def _running(extreme: np.ufunc, level: Gray, side: int) -> Gray:
    """Return the extreme of every whole `side` x `side` window, by doubling the window."""
    for _ in range(2):
        reached = 1
        while reached < side:
            step = min(reached, side - reached)
            level = extreme(level[:-step], level[step:])
            reached += step
        level = level.T
    return level


def _stretched(ink: NDArray[np.float32]) -> Gray:
    """Map paper to 0 and full ink to 255; no ink gives all 0."""
    counts = np.bincount(np.clip(ink + _BELOW, 0, 255 + _BELOW).astype(np.intp).ravel())
    solid = _typical(counts)
    if solid - _BELOW < _FAINTEST_INK:
        return np.zeros(ink.shape, np.uint8)
    # Below half of that is paper: its middle, and how far noise takes it from there.
    paper = counts[: (solid + _BELOW) // 2]
    middle = _quantile(paper, 0.5)
    noise = 1.4826 * _quantile(_folded(paper, middle), 0.5)
    full = solid - middle
    if not paper.any() or full < max(_FAINTEST_INK, _NOISE_FREE * noise):
        return np.zeros(ink.shape, np.uint8)
    level: NDArray[np.float32] = ink - np.float32(middle - _BELOW)
    level[level < 3 * noise] = 0
    strength: NDArray[np.float32] = np.clip(level * np.float32(255.0 / full), 0, 255)
    return strength.astype(np.uint8)


def _typical(counts: NDArray[np.intp]) -> int:
    """Return the level of solid ink: the usual one among the strongest."""
    strongest = _quantile(counts, 0.999)
    half = (strongest + _BELOW) // 2
    return half + _quantile(counts[half:], 0.75)


def _folded(counts: NDArray[np.intp], middle: int) -> NDArray[np.intp]:
    """Return how often each distance from `middle` occurs, whichever the side."""
    above, below = counts[middle:].copy(), counts[:middle][::-1]
    folded = np.zeros(max(len(above), len(below) + 1), np.intp)
    folded[: len(above)] = above
    folded[1 : len(below) + 1] += below
    return folded


def _quantile(counts: NDArray[np.intp], share: float) -> int:
    """Return the first level up to which at least `share` of all pixels lie."""
    total = np.cumsum(counts)
    return int(np.searchsorted(total, share * total[-1]))


def _reduced(gray: Gray, side: int) -> Gray:
    factor = -(-max(gray.shape) // side)
    return np.asarray(Image.fromarray(gray).reduce(factor)) if factor > 1 else gray
