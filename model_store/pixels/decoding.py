"""Encoded bytes to luma at the file's own resolution, whatever the bytes are."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
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
from model_store.pixels.contained import CONTAINED, decode_contained
from model_store.pixels.formats import FORMATS, ImageHeader, format_of
from model_store.pixels.grayscale import SIXTEEN_BIT, to_grayscale
from model_store.pixels.guards import before_loading, before_opening
from model_store.pixels.ink import WORKING_SIDE
from model_store.pixels.orientation import exif_orientation
from model_store.spec import ALL_FORMATS, ImageFormat, ImageSpec

# Not Image.open: that one warns of large images, through the process-wide warning filters, and
# guesses at multi-picture files.
_DECODERS: dict[ImageFormat, type[ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
}

# What the decoder multiplies the samples of shallow PNGs by.
_FULL_SCALE = {"L;2": 85, "L;4": 17}

# How much larger than the target a JPEG stays when its decoder leaves out fine detail.
_DRAFT_GAP = 1.5


@dataclass(frozen=True, slots=True)
class Decoded:
    """Luma as it is stored, how to turn it upright (EXIF orientation, 1 to 8), and its header."""

    luma: Image.Image
    orientation: int
    source: ImageHeader


def decode(data: bytes, spec: ImageSpec, max_pixels: int) -> Decoded:
    """Decode the first frame of an image file to luma.

    Memory stays below 20 bytes per pixel of the header plus three times the file, and
    time within a few seconds for 50 million pixels: see the limits in `guards`.

    Raises:
        UnsupportedFormat: none of `spec.formats`, judged by content.
        TooManyPixels: the header announces more than `max_pixels`; nothing was decoded.
        UndecodableImage: broken or truncated.
    """
    kind = _allowed_format(data, spec.formats)
    with _named_errors(data, kind):
        if kind in CONTAINED:
            loaded, turn = decode_contained(data, kind, max_pixels)
            source = ImageHeader(kind, loaded.mode, *turned(loaded.size, turn))
            luma = to_grayscale(loaded, spec.alpha_background, depth16_max=spec.depth16_max)
            return Decoded(luma, turn, source)
        image, exif = open_image(data, kind, max_pixels)
        return _loaded(image, exif, spec)


def largest_16_bit_sample(data: bytes, max_pixels: int) -> int | None:
    """Return the largest sample of a 16-bit grayscale image; None if it has others.

    Raises:
        ImageError: it cannot be decoded.
    """
    kind = _allowed_format(data, ALL_FORMATS)
    with _named_errors(data, kind):
        decoder = decode_contained if kind in CONTAINED else open_image
        image = decoder(data, kind, max_pixels)[0]
        return int(np.asarray(image).max()) if image.mode in SIXTEEN_BIT else None


@contextmanager
def _named_errors(data: bytes, kind: ImageFormat) -> Iterator[None]:
    try:
        yield
    except ImageError:
        raise
    except Exception as error:  # a decoder given hostile bytes may raise anything
        raise UndecodableImage(
            f"Expected a complete {kind} image. Received: {len(data)} bytes that begin as "
            f"{kind} and are cut short or broken"
        ) from error


def _allowed_format(data: bytes, formats: tuple[ImageFormat, ...]) -> ImageFormat:
    received = format_of(data)
    if received in formats:
        return received
    what = f"{len(data)} bytes of no known image format"
    if received is not None:
        what = f"{received}. {FORMATS[received].advice}"
    raise UnsupportedFormat(f"Expected one of {', '.join(formats)}. Received: {what}")


def open_image(data: bytes, kind: ImageFormat, max_pixels: int) -> tuple[ImageFile, bytes | None]:
    """Return an image of which only the header was read, and the raw EXIF block of the file.

    Raises:
        ImageError: decoding it would cost too much.
        Exception: whatever Pillow raises at hostile bytes.
    """
    visible, exif = before_opening(data, kind, max_pixels)
    image = _DECODERS[kind](BytesIO(visible), "")
    before_loading(image, kind, max_pixels)
    return image, exif or image.info.get("exif")


def _loaded(image: ImageFile, exif: bytes | None, spec: ImageSpec) -> Decoded:
    """Load exactly once; after any error the image object is dropped.

    A second `load` after a failed one can succeed, with pixels that are not there.
    """
    turn = exif_orientation(exif) if spec.orientation == "exif" else 1
    source = ImageHeader(str(image.format), image.mode, *turned(image.size, turn))
    tile = image.tile[0] if image.tile else None
    image.draft("L", _draft_floor(image.size, turn, spec) if spec.jpeg_draft else None)
    image.load()
    key = _color_key(image, tile and tile.args)
    luma = to_grayscale(image, spec.alpha_background, key, spec.depth16_max)
    if source.format == "GIF" and tile and tile.extents:
        luma = _on_canvas(luma, tile.extents, spec.alpha_background)
    return Decoded(luma, turn, source)


def turned(size: tuple[int, int], turn: int) -> tuple[int, int]:
    """Return width and height after a turn from or to EXIF orientation `turn`."""
    return size if turn < 5 else (size[1], size[0])


def _draft_floor(size: tuple[int, int], turn: int, spec: ImageSpec) -> tuple[int, int]:
    """Return the width and height below which a JPEG must not be decoded."""
    if spec.ink is not None:
        scale = min(1.0, WORKING_SIDE / max(size))
        return math.ceil(scale * size[0]), math.ceil(scale * size[1])
    width, height = turned((spec.width, spec.height), turn)
    return math.ceil(_DRAFT_GAP * width), math.ceil(_DRAFT_GAP * height)


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
