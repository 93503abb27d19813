"""Encoded bytes to the pixels that a model sees: the one function for training and for serving."""

import math
from functools import cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from model_store.libraries import library_versions
from model_store.pixels.decoding import decode, turned
from model_store.pixels.formats import ImageHeader
from model_store.pixels.ink import WORKING_SIDE, normalize_ink
from model_store.spec import ImageSpec

DEFAULT_MAX_PIXELS = 50_000_000

# Raise this whenever the same bytes and spec give other pixels than before.
_RULES_VERSION = 1

# A reduction by whole factors goes before the filter while at least this many source pixels per
# target pixel remain; Pillow's documentation calls 3.0 indistinguishable from the filter alone.
_REDUCING_GAP = 3.0

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def preprocess(
    data: bytes,
    spec: ImageSpec,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Decode one image into the pixels that the model sees.

    Args:
        data: the whole encoded file; its format is judged by content, never by a name.
        spec: size, filter, orientation, transparency, formats.
        max_pixels: width x height that the header may announce.
        out: (H, W) uint8, C-contiguous; where to put the pixels.

    Returns:
        (H, W) uint8, 0-255, C-contiguous; `out` itself if it was given.

    Raises:
        UnsupportedFormat: none of `spec.formats`, judged by content.
        TooManyPixels: the header announces more than `max_pixels`; nothing was decoded.
        UndecodableImage: broken or truncated.
        ValueError: `out` has another shape, type or layout; a mistake of the caller's.
    """
    return preprocess_with_source(data, spec, max_pixels=max_pixels, out=out)[0]


def preprocess_with_source(
    data: bytes,
    spec: ImageSpec,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    out: NDArray[np.uint8] | None = None,
) -> tuple[NDArray[np.uint8], ImageHeader]:
    """Do what `preprocess` does, and tell what the header said."""
    out = _checked(out, spec)
    decoded = decode(data, spec, max_pixels)
    luma, turn = decoded.luma, decoded.orientation
    if spec.ink is not None:
        if (factor := math.ceil(max(luma.size) / WORKING_SIDE)) > 1:
            luma = luma.reduce(factor)
        out[...] = normalize_ink(np.asarray(_upright(luma, turn)), spec)
        return out, decoded.source
    size = turned((spec.width, spec.height), turn)
    if luma.size != size:
        filter_ = Image.Resampling[spec.resampling.upper()]
        luma = luma.resize(size, filter_, reducing_gap=_REDUCING_GAP)
    # Turned after the resize, which is the same picture for less work.
    # An image over `out`'s own memory: one copy, where np.asarray would make three.
    view = Image.frombuffer("L", (spec.width, spec.height), out, "raw", "L", 0, 1)
    view.readonly = 0
    view.paste(_upright(luma, turn))
    return out, decoded.source


@cache
def preprocessing_version() -> str:
    """Return a string that changes when the same bytes and spec could give other pixels."""
    libraries = ("pil", "libjpeg_turbo", "jpg", "webp", "zlib", "avif", "libtiff")
    versions = (f"{name}-{features.version(name) or 'none'}" for name in libraries)
    heif = f"pi-heif-{library_versions().get('pi-heif', 'none')}"
    return "+".join((str(_RULES_VERSION), *versions, heif))


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode (H, W) uint8 pixels as a grayscale PNG, which `preprocess` reads back unchanged."""
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="PNG")
    return buffer.getvalue()


def _upright(luma: Image.Image, turn: int) -> Image.Image:
    return luma if turn == 1 else luma.transpose(_UPRIGHT[turn])


def _checked(out: NDArray[np.uint8] | None, spec: ImageSpec) -> NDArray[np.uint8]:
    shape = (spec.height, spec.width)
    if out is None:
        return np.empty(shape, np.uint8)
    if out.shape != shape or out.dtype != np.uint8 or not out.flags.c_contiguous:
        raise ValueError(
            f"Expected `out` to be C-contiguous uint8 of shape {shape}. "
            f"Received: {out.dtype} of shape {out.shape}"
        )
    return out
