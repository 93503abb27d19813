"""Encoded bytes to luma at the file's own resolution, whatever the bytes are."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from model_store.errors import ImageError, UndecodableImage, UnsupportedFormat
from model_store.pixels.grayscale import SIXTEEN_BIT, to_grayscale
from model_store.pixels.guards import before_loading, before_opening
from model_store.pixels.orientation import exif_orientation
from model_store.spec import ALL_FORMATS, ImageFormat, ImageSpec

# What the first bytes of a file are, and Pillow's class for it. Not Image.open: that one warns of
# large images, through the process-wide warning filters, and guesses at multi-picture files.
_FORMATS: dict[ImageFormat, tuple[re.Pattern[bytes], type[ImageFile]]] = {
    "JPEG": (re.compile(rb"\xff\xd8\xff"), JpegImageFile),
    "PNG": (re.compile(rb"\x89PNG\r\n\x1a\n"), PngImageFile),
    "WEBP": (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), WebPImageFile),
    "BMP": (re.compile(rb"BM"), BmpImageFile),
    "GIF": (re.compile(rb"GIF8[79]a"), GifImageFile),
}

FIRST_BYTES = 12  # so many are enough to tell the format

# What the decoder multiplies the samples of shallow PNGs by.
_FULL_SCALE = {"L;2": 85, "L;4": 17}

# Width and height of the stored image, and its orientation, to the smallest width and height
# that a reduced decoding may have.
DraftFloor = Callable[[tuple[int, int], int], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the header of an encoded image says, before orientation is applied."""

    format: str
    mode: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """Luma as it is stored, and how to turn it upright (EXIF orientation, 1 to 8)."""

    luma: Image.Image
    orientation: int
    source: ImageHeader


def decode(data: bytes, spec: ImageSpec, max_pixels: int, floor: DraftFloor) -> Decoded:
    """Decode the first frame of an image file to luma.

    Memory stays below 20 bytes per pixel of the header plus three times the file, and
    time within a few seconds for 50 million pixels: see the limits in `guards`.

    Raises:
        UnsupportedFormat: none of `spec.formats`, judged by content.
        TooManyPixels: the header announces more than `max_pixels`; nothing was decoded.
        UndecodableImage: broken or truncated.
    """
    kind = _allowed_format(data, spec.formats)
    try:
        image, exif = open_image(data, kind, max_pixels)
        return _loaded(image, exif, spec, floor)
    except ImageError:
        raise
    except Exception as error:  # a decoder given hostile bytes may raise anything
        raise _undecodable(data, kind, error) from error


def _undecodable(data: bytes, kind: ImageFormat, error: Exception) -> UndecodableImage:
    return UndecodableImage(
        f"Expected a complete {kind} image. Received: {len(data)} bytes that begin as "
        f"{kind} and cannot be decoded ({type(error).__name__})"
    )


def format_of(data: bytes) -> ImageFormat | None:
    """Return the format that the first bytes announce, or None."""
    return next((kind for kind, (first, _) in _FORMATS.items() if first.match(data)), None)


def largest_16_bit_sample(data: bytes, max_pixels: int) -> int | None:
    """Return the largest sample of a 16-bit grayscale image; None if it has others.

    Raises:
        ImageError: it cannot be decoded.
    """
    kind = _allowed_format(data, ALL_FORMATS)
    try:
        image, _ = open_image(data, kind, max_pixels)
        if image.mode not in SIXTEEN_BIT:
            return None
        image.load()
        return int(np.asarray(image).max())
    except ImageError:
        raise
    except Exception as error:  # a decoder given hostile bytes may raise anything
        raise _undecodable(data, kind, error) from error


def _allowed_format(data: bytes, formats: tuple[ImageFormat, ...]) -> ImageFormat:
    kind = format_of(data)
    if kind is None or kind not in formats:
        received = f"{len(data)} bytes of no known image format" if kind is None else kind
        raise UnsupportedFormat(f"Expected one of {', '.join(formats)}. Received: {received}")
    return kind


def open_image(data: bytes, kind: ImageFormat, max_pixels: int) -> tuple[ImageFile, bytes | None]:
    """Return an image of which only the header was read, and the raw EXIF block of the file.

    Raises:
        ImageError: decoding it would cost too much.
        Exception: whatever Pillow raises at hostile bytes.
    """
    visible, exif = before_opening(data, kind, max_pixels)
    image = _FORMATS[kind][1](BytesIO(visible), "")
    before_loading(image, kind, max_pixels)
    return image, exif or image.info.get("exif")


def _loaded(image: ImageFile, exif: bytes | None, spec: ImageSpec, floor: DraftFloor) -> Decoded:
    """Load exactly once; after any error the image object is dropped.

    A second `load` after a failed one can succeed, with pixels that are not there.
    """
    source = ImageHeader(str(image.format), image.mode, image.width, image.height)
    turn = exif_orientation(exif) if spec.orientation == "exif" else 1
    tile = image.tile[0] if image.tile else None
    image.draft("L", floor(image.size, turn) if spec.jpeg_draft else None)
    image.load()
    key = _color_key(image, tile and tile.args)
    luma = to_grayscale(image, spec.alpha_background, key, spec.depth16_max)
    if source.format == "GIF" and tile and tile.extents:
        luma = _on_canvas(luma, tile.extents, spec.alpha_background)
    return Decoded(luma, turn, source)


def _color_key(image: ImageFile, rawmode: object) -> tuple[int, ...] | None:
    """Return the see-through colour, in decoded samples, of an image without a palette."""
    if image.mode == "P":
        return None
    key = image.info.pop("transparency", None)
    if key is None:
        return None
    samples = key if isinstance(key, tuple) else (key,)
    if rawmode == "RGB;16B":  # decoded to the high byte
        return tuple(sample >> 8 for sample in samples)
    return tuple(sample * _FULL_SCALE.get(str(rawmode), 1) for sample in samples)


def _on_canvas(
    luma: Image.Image, extent: tuple[int, int, int, int], background: int
) -> Image.Image:
    """Show `background` where the first frame leaves the canvas empty, as browsers do."""
    if extent == (0, 0, *luma.size):
        return luma
    canvas = Image.new("L", luma.size, background)
    canvas.paste(luma.crop(extent), extent)
    return canvas
