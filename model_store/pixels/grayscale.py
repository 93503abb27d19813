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

# The modes that decoders of the accepted formats give.
MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBX", "RGBA", "RGBa", "CMYK", "YCbCr"})
SIXTEEN_BIT = frozenset({"I", "I;16", "I;16L", "I;16B"})
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
        gray = _luma(image, background)
    else:
        known = ", ".join(sorted(MODES | SIXTEEN_BIT))
        raise UnsupportedMode(f"Expected one of the modes {known}. Received: {image.mode}")
    if mask is not None:
        gray.paste(background, mask=mask)
    return gray


def _luma(image: Image.Image, background: int) -> Image.Image:
    if not image.has_transparency_data:
        return image if image.mode == "L" else image.convert("L")
    if image.mode == "RGBa":  # colours multiplied by their alpha
        image = image.convert("RGBA")
    luma, alpha = image.convert("LA").split()
    if alpha.getextrema() == (255, 255):
        return luma
    canvas = Image.new("L", image.size, background)
    canvas.paste(luma, mask=alpha)
    return canvas


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
