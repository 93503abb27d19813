"""The headers of a Windows bitmap."""

from model_store.containers.contents import Contents
from model_store.errors import TooManyPixels, UndecodableImage

# The decoder of run-length coded bitmaps works code by code in Python: about a second for these.
MAX_RLE_PIXELS = 1_000_000

# Room for codes that no encoder needs: jumps, and the end of the bitmap.
_SPARE_CODES = 1024

_CORE_HEADER = 12
_INFO_HEADERS = (40, 52, 56, 64, 108, 124)
_UNCOMPRESSED = (0, 3)  # BI_RGB, BI_BITFIELDS
_RUN_LENGTH = (1, 2)  # BI_RLE8, BI_RLE4


def read(data: bytes) -> Contents:
    """Read size and coding of a bitmap, and check that its pixels can be there."""
    size = _u32(data, 14)
    if size == _CORE_HEADER and len(data) >= 26:
        width, height = (int.from_bytes(data[at : at + 2], "little") for at in (18, 20))
        bits, compression = int.from_bytes(data[24:26], "little"), 0
    elif size in _INFO_HEADERS and len(data) >= 14 + size:
        width, height = _i32(data, 18), abs(_i32(data, 22))
        bits, compression = int.from_bytes(data[28:30], "little"), _u32(data, 30)
    else:
        raise UndecodableImage("Expected a complete bitmap header. Received: a broken one")
    if width < 1 or height < 1:
        raise UndecodableImage(
            f"Expected a bitmap of at least 1 x 1 pixels. Received: {width} x {height}"
        )
    if compression in _UNCOMPRESSED:
        _check_length(data, width, height, bits)
    elif compression not in _RUN_LENGTH:
        raise UndecodableImage(
            f"Expected an uncompressed or run-length coded bitmap. Received: coding {compression}"
        )
    elif width * height > MAX_RLE_PIXELS:
        raise TooManyPixels(
            f"Expected at most {MAX_RLE_PIXELS} pixels in a run-length coded bitmap. "
            f"Received: {width} x {height}"
        )
    else:
        data = data[: _u32(data, 10) + _longest_codes(width, height)]
    return Contents(width, height, data)


def _longest_codes(width: int, height: int) -> int:
    """Return how many bytes the least compressed run-length coding takes.

    The decoder reads on until it has every pixel, and some codes give none.
    """
    return 2 * (width + 1) * height + _SPARE_CODES


def _check_length(data: bytes, width: int, height: int, bits: int) -> None:
    stride = (width * bits + 31) // 32 * 4
    needed = stride * height
    available = len(data) - _u32(data, 10)
    if needed > available:
        raise UndecodableImage(
            f"Expected {needed} bytes of bitmap pixels. Received: {max(0, available)}"
        )


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _i32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little", signed=True)
