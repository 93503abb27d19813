"""What an image file holds, found out before any decoder sees it.

Each module reads the structure of one file format and hands on only what the pixels of the first
frame need. So a decoder never meets comments, colour profiles, thumbnails, later frames or
compressed text; what it does meet has been counted, and the size it will announce is known.
"""

from collections.abc import Callable

from model_store.containers import bmp, gif, jpeg, png, webp
from model_store.containers.contents import Contents
from model_store.errors import UndecodableImage
from model_store.spec import ImageFormat

__all__ = ["Contents", "format_of", "read_contents"]

# JPEG and GIF can hold no longer sides. Decoders keep a pointer and padding for each row, and so
# need several times the memory for an image that is one pixel wide.
MAX_SIDE = 65_535

_READERS: dict[ImageFormat, Callable[[bytes], Contents]] = {
    "JPEG": jpeg.read,
    "PNG": png.read,
    "WEBP": webp.read,
    "BMP": bmp.read,
    "GIF": gif.read,
}


def format_of(data: bytes) -> ImageFormat | None:
    """Return the format that the first bytes announce, or None."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(png.SIGNATURE):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith(b"BM"):
        return "BMP"
    return None


def read_contents(data: bytes, kind: ImageFormat) -> Contents:
    """Read the structure of an image file; nothing is decompressed.

    Raises:
        UndecodableImage: the structure is broken, truncated, or larger than any honest file's.
    """
    contents = _READERS[kind](data)
    if max(contents.width, contents.height) > MAX_SIDE:
        raise UndecodableImage(
            f"Expected at most {MAX_SIDE} pixels a side. "
            f"Received: {contents.width} x {contents.height}"
        )
    return contents
