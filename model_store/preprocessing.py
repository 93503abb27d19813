"""Encoded bytes to the pixels that a model sees: the one function for training and for serving."""

import math
from dataclasses import dataclass
from functools import cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from model_store.errors import ImageError, TooManyPixels, UndecodableImage, UnsupportedFormat
from model_store.grayscale import to_grayscale
from model_store.ink import WORKING_SIDE, normalize_ink
from model_store.orientation import exif_orientation
from model_store.spec import ImageFormat, ImageSpec

DEFAULT_MAX_PIXELS = 50_000_000

# Raise this whenever the same bytes and spec give other pixels than before.
_RULES_VERSION = 1

# A reduction by whole factors goes before the filter while at least this many source pixels per
# target pixel remain; Pillow's documentation calls 3.0 indistinguishable from the filter alone.
_REDUCING_GAP = 3.0

# How much larger than the target a JPEG stays when its decoder leaves out fine detail.
_DRAFT_GAP = 1.5

_PLUGINS: dict[ImageFormat, type[ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
}

_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class Source:
    """What the header of an encoded image says, before orientation is applied."""

    format: str
    mode: str
    width: int
    height: int


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
) -> tuple[NDArray[np.uint8], Source]:
    """Do what `preprocess` does, and tell what the file was."""
    _check_out(out, spec)
    kind = _sniff(data, spec.formats)
    try:
        image = _open(data, kind, max_pixels)
        source = Source(kind, image.mode, image.width, image.height)
        pixels = _shaped(*_decode(image, spec), spec)
    except ImageError:
        raise
    except Exception as error:  # a decoder given hostile bytes may raise anything
        raise UndecodableImage(
            f"Expected a complete {kind} image. Received: {len(data)} bytes that begin as "
            f"{kind} and cannot be decoded ({type(error).__name__})"
        ) from error
    return _deliver(pixels, out), source


@cache
def preprocessing_version() -> str:
    """Return a string that changes when the same bytes and spec could give other pixels."""
    libraries = ("pil", "libjpeg_turbo", "jpg", "webp", "zlib")
    versions = (f"{name}-{features.version(name) or 'none'}" for name in libraries)
    return "+".join((str(_RULES_VERSION), *versions))


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode (H, W) uint8 pixels as a grayscale PNG, which `preprocess` reads back unchanged."""
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="PNG")
    return buffer.getvalue()


def _check_out(out: NDArray[np.uint8] | None, spec: ImageSpec) -> None:
    if out is None:
        return
    wanted = (spec.height, spec.width)
    if out.shape != wanted or out.dtype != np.uint8 or not out.flags.c_contiguous:
        raise ValueError(
            f"Expected `out` to be C-contiguous uint8 of shape {wanted}. "
            f"Received: {out.dtype} of shape {out.shape}"
        )


def _sniff(data: bytes, formats: tuple[ImageFormat, ...]) -> ImageFormat:
    kind = _format_of(data)
    if kind is None or kind not in formats:
        received = f"{len(data)} bytes of no known image format" if kind is None else kind
        raise UnsupportedFormat(f"Expected one of {', '.join(formats)}. Received: {received}")
    return kind


def _format_of(data: bytes) -> ImageFormat | None:
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith(b"BM"):
        return "BMP"
    return None


def _open(data: bytes, kind: ImageFormat, max_pixels: int) -> ImageFile:
    # The plugin's class and not Image.open: that one warns of large images, through the
    # process-wide warning filters, and guesses at multi-picture files.
    image = _PLUGINS[kind](BytesIO(data), "")
    if image.width * image.height > max_pixels:
        raise TooManyPixels(
            f"Expected at most {max_pixels} pixels. Received: a {kind} header that announces "
            f"{image.width} x {image.height}"
        )
    return image


def _decode(image: ImageFile, spec: ImageSpec) -> tuple[Image.Image, int]:
    """Return luma as stored in the file, and the orientation that says how to turn it.

    Loads exactly once; after any error the image object is dropped, never loaded again.
    """
    if isinstance(image, JpegImageFile):  # its EXIF block stands before the pixels
        _draft(image, spec, _orientation(image, spec))
    extent = image.tile[0].extents if isinstance(image, GifImageFile) else None
    image.load()
    turn = _orientation(image, spec)  # a PNG's block may stand after the pixels
    gray = to_grayscale(image, spec.alpha_background)
    if extent is not None and extent != (0, 0, *image.size):
        gray = _first_frame(gray, extent, spec.alpha_background)
    return gray, turn


def _orientation(image: ImageFile, spec: ImageSpec) -> int:
    return 1 if spec.orientation == "ignore" else exif_orientation(image.info.get("exif"))


def _draft(image: JpegImageFile, spec: ImageSpec, turn: int) -> None:
    image.draft("L", _draft_floor(image, spec, turn) if spec.jpeg_draft else None)


def _draft_floor(image: ImageFile, spec: ImageSpec, turn: int) -> tuple[int, int]:
    if spec.ink is not None:
        scale = min(1.0, WORKING_SIDE / max(image.size))
        return math.ceil(scale * image.width), math.ceil(scale * image.height)
    width, height = _turned((spec.width, spec.height), turn)
    return math.ceil(_DRAFT_GAP * width), math.ceil(_DRAFT_GAP * height)


def _turned(size: tuple[int, int], turn: int) -> tuple[int, int]:
    return size if turn < 5 else (size[1], size[0])


def _first_frame(gray: Image.Image, extent: tuple[int, ...], background: int) -> Image.Image:
    """Show `background` where a GIF's first frame leaves its canvas empty, as browsers do."""
    left, top, right, bottom = extent
    box = (left, top, right, bottom)
    canvas = Image.new("L", gray.size, background)
    canvas.paste(gray.crop(box), box)
    return canvas


def _shaped(gray: Image.Image, turn: int, spec: ImageSpec) -> Image.Image:
    """Bring luma to the size, and the form, that the spec asks for."""
    if spec.ink is not None:
        return Image.fromarray(normalize_ink(np.asarray(_upright(_working_copy(gray), turn)), spec))
    # Turned after the resize, which is the same picture for less work.
    return _upright(_resize(gray, _turned((spec.width, spec.height), turn), spec), turn)


def _working_copy(gray: Image.Image) -> Image.Image:
    factor = math.ceil(max(gray.size) / WORKING_SIDE)
    return gray if factor == 1 else gray.reduce(factor)


def _resize(gray: Image.Image, size: tuple[int, int], spec: ImageSpec) -> Image.Image:
    if gray.size == size:
        return gray
    return gray.resize(size, _FILTERS[spec.resampling], reducing_gap=_REDUCING_GAP)


def _upright(gray: Image.Image, turn: int) -> Image.Image:
    return gray if turn == 1 else gray.transpose(_UPRIGHT[turn])


def _deliver(pixels: Image.Image, out: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    if out is None:
        out = np.empty((pixels.height, pixels.width), np.uint8)
    # An image over `out`'s own memory: one copy, where np.asarray(pixels) would make three.
    view = Image.frombuffer("L", pixels.size, out, "raw", "L", 0, 1)
    view.readonly = 0
    view.paste(pixels)
    return out
