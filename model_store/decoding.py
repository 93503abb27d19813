"""Encoded bytes to luma at the file's own resolution, whatever the bytes are."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from model_store.containers import Contents, format_of, read_contents
from model_store.errors import ImageError, TooManyPixels, UndecodableImage, UnsupportedFormat
from model_store.grayscale import to_grayscale
from model_store.orientation import exif_orientation
from model_store.spec import ImageFormat, ImageSpec

_PLUGINS: dict[ImageFormat, type[ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
}

# Width and height of the stored image, and its orientation, to the smallest width and height
# that a reduced decoding may have.
DraftFloor = Callable[[tuple[int, int], int], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Source:
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
    source: Source


def decode(data: bytes, spec: ImageSpec, max_pixels: int, floor: DraftFloor) -> Decoded:
    """Decode the first frame of an image file to luma.

    Memory stays below 20 bytes per pixel of the header plus three times the file, and
    time within a few seconds for 50 million pixels: see the limits in `containers`.

    Raises:
        UnsupportedFormat: none of `spec.formats`, judged by content.
        TooManyPixels: the header announces more than `max_pixels`; nothing was decoded.
        UndecodableImage: broken or truncated.
    """
    kind = _allowed_format(data, spec.formats)
    contents = read_contents(data, kind)
    _check_pixels(contents, kind, max_pixels)
    try:
        return _decode(contents, kind, spec, floor)
    except ImageError:
        raise
    except Exception as error:  # a decoder given hostile bytes may raise anything
        raise UndecodableImage(
            f"Expected a complete {kind} image. Received: {len(data)} bytes that begin as "
            f"{kind} and cannot be decoded ({type(error).__name__})"
        ) from error


def _allowed_format(data: bytes, formats: tuple[ImageFormat, ...]) -> ImageFormat:
    kind = format_of(data)
    if kind is None or kind not in formats:
        received = f"{len(data)} bytes of no known image format" if kind is None else kind
        raise UnsupportedFormat(f"Expected one of {', '.join(formats)}. Received: {received}")
    return kind


def _check_pixels(contents: Contents, kind: ImageFormat, max_pixels: int) -> None:
    if contents.width * contents.height > max_pixels:
        raise TooManyPixels(
            f"Expected at most {max_pixels} pixels. Received: a {kind} header that announces "
            f"{contents.width} x {contents.height}"
        )


def _decode(contents: Contents, kind: ImageFormat, spec: ImageSpec, floor: DraftFloor) -> Decoded:
    """Open and load exactly once; after any error the image object is dropped.

    A second `load` after a failed one can succeed, with pixels that are not there.
    """
    # The plugin's class and not Image.open: that one warns of large images, through the
    # process-wide warning filters, and guesses at multi-picture files.
    image = _PLUGINS[kind](BytesIO(contents.essential), "")
    if image.size != (contents.width, contents.height):
        raise UndecodableImage(
            f"Expected a {kind} of {contents.width} x {contents.height} pixels, as its header "
            f"says. Received: {image.width} x {image.height}"
        )
    source = Source(kind, image.mode, image.width, image.height)
    turn = exif_orientation(contents.exif) if spec.orientation == "exif" else 1
    image.draft("L", floor(image.size, turn) if spec.jpeg_draft else None)
    image.load()
    luma = to_grayscale(image, spec.alpha_background, contents.transparent)
    if contents.extent is not None:
        luma = _on_canvas(luma, contents.extent, spec.alpha_background)
    return Decoded(luma, turn, source)


def _on_canvas(
    luma: Image.Image, extent: tuple[int, int, int, int], background: int
) -> Image.Image:
    """Show `background` where the first frame leaves the canvas empty, as browsers do."""
    canvas = Image.new("L", luma.size, background)
    canvas.paste(luma.crop(extent), extent)
    return canvas
