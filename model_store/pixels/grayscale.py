"""From any decoded Pillow image to 8-bit luma, every mode decided on purpose.

Luma is ITU-R 601 (Y' = 0.299 R + 0.587 G + 0.114 B), as in Pillow's and JPEG's own grayscale.
Colour profiles and gamma chunks are ignored, as nearly every training pipeline does.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model_store.spec import MAX_16

SIXTEEN_BIT = frozenset({"I", "I;16", "I;16L", "I;16B"})  # modes
_BAND_PIXELS = 1 << 20


class UnsupportedMode(ValueError):
    """A pixel layout that none of the accepted formats should produce."""


def to_grayscale(
    image: Image.Image,
    background: int,
    transparent: tuple[int, ...] | None = None,
    depth16_max: int = MAX_16,
) -> Image.Image:
    """Return the luma of a loaded image, transparent pixels composited over `background`.

    Args:
        image: loaded, of any mode in `MODES` or `SIXTEEN_BIT`.
        background: 0-255, the grey level that shows through.
        transparent: the one colour, in the samples of `image`, that means "see-through"
            (tRNS of a PNG, or a GIF in gray), or None.
        depth16_max: the sample of a 16-bit image that is white.

    Raises:
        UnsupportedMode: another mode.
    """
    mask = None if transparent is None else _color_key(image, transparent)
    if image.mode in SIXTEEN_BIT:
        gray = _by_bands(image, partial(scale_16_to_8, white=depth16_max))
    elif image.mode in MODES:
        gray = MODES[image.mode](image, background)
    else:
        known = ", ".join([*MODES, *sorted(SIXTEEN_BIT)])
        raise UnsupportedMode(f"Expected one of the modes {known}. Received: {image.mode}")
    if mask is not None:
        gray.paste(background, mask=mask)
    return gray


def _opaque(image: Image.Image, background: int) -> Image.Image:
    del background
    return image if image.mode == "L" else image.convert("L")


def _palette(image: Image.Image, background: int) -> Image.Image:
    if "transparency" in image.info:
        return _luma_and_alpha(image, background)
    return _opaque(image, background)


def _luma_and_alpha(image: Image.Image, background: int) -> Image.Image:
    luma, alpha = image.convert("LA").split()
    if alpha.getextrema() == (255, 255):
        return luma
    canvas = Image.new("L", image.size, background)
    canvas.paste(luma, mask=alpha)
    return canvas


def _premultiplied(image: Image.Image, background: int) -> Image.Image:
    return _luma_and_alpha(image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode]), background)


def _by_way_of_rgb(image: Image.Image, background: int) -> Image.Image:
    return _opaque(image.convert("RGB"), background)


def scale_16_to_8(samples: NDArray[Any], white: int = MAX_16) -> NDArray[np.uint8]:
    """Return round(255 * samples / white) as uint8, samples outside 0-white clipped first.

    Pillow's `convert("L")` would clip at 255.
    """
    wide: NDArray[np.uint32] = np.clip(samples, 0, white).astype(np.uint32)
    return ((255 * wide + white // 2) // white).astype(np.uint8)


def _color_key(image: Image.Image, transparent: tuple[int, ...]) -> Image.Image:
    """Return a mask, 255 where `image` has the transparent colour."""

    def same(samples: NDArray[Any]) -> NDArray[np.uint8]:  # (h, W) or (h, W, 3)
        bands = samples.reshape(*samples.shape[:2], -1)
        # Band by band: comparing and reducing over the last axis takes four times as long.
        equal: NDArray[np.bool_] = bands[..., 0] == transparent[0]
        for band, level in enumerate(transparent[1:], 1):
            equal &= bands[..., band] == level
        return equal.view(np.uint8) * np.uint8(255)

    return _by_bands(image, same)


def _by_bands(
    image: Image.Image, function: Callable[[NDArray[Any]], NDArray[np.uint8]]
) -> Image.Image:
    """Apply a function of pixels to a few rows at a time: wide intermediates stay small."""
    result = Image.new("L", image.size)
    rows = max(1, _BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        result.paste(Image.fromarray(function(np.asarray(image.crop(box)))), box)
    return result


MODES: dict[str, Callable[[Image.Image, int], Image.Image]] = {
    "1": _opaque,
    "L": _opaque,
    "LA": _luma_and_alpha,
    "La": _premultiplied,
    "P": _palette,
    "PA": _luma_and_alpha,
    "RGB": _opaque,
    "RGBX": _opaque,
    "RGBA": _luma_and_alpha,
    "RGBa": _premultiplied,
    "CMYK": _opaque,
    "YCbCr": _opaque,
    "LAB": _by_way_of_rgb,
    "HSV": _by_way_of_rgb,
}
