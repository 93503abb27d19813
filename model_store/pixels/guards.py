"""What a hostile file is kept from costing before Pillow decodes it.

Of a JPEG and a PNG Pillow gets only what pixels depend on, so that no comment, profile, thumbnail
or later frame costs anything. Of the other formats it reads little else itself.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from itertools import islice

from PIL.ImageFile import ImageFile

from model_store.errors import TooManyPixels, UndecodableImage
from model_store.spec import ImageFormat

# JPEG and GIF can hold no longer sides. Decoders keep a pointer and padding for each row, and so
# need several times the memory for an image that is one pixel wide.
MAX_SIDE = 65_535

# A progressive JPEG repeats its pass over all coefficients with every scan, for a handful of bytes
# each. Encoders write about ten. More are passed over only in images small enough for it: what
# counts is pixels times scans, of which a processor does about two thousand million a second.
USUAL_SCANS = 20
MAX_SCANS = 100
MAX_SCANNED_PIXELS = 1_000_000_000

# Of a JPEG, before the first scan. Photographs with extended metadata have some hundred.
MAX_SEGMENTS = 4096

# Encoders write the image data of a PNG in pieces of 8 KB or more; this leaves room for tiny ones.
MAX_CHUNKS = 65_536

# Extensions of a GIF before its first frame, and their sub-blocks of up to 255 bytes: Pillow reads
# each in Python.
MAX_BLOCKS = 262_144

# The decoder of run-length coded bitmaps works code by code in Python: about a second for these.
MAX_RLE_PIXELS = 1_000_000

# One that begins a segment, or ends the image. Inside compressed data 0xFF is followed by a stuffed
# zero, a restart marker or fill.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_EOI, _SOS, _EXIF, _PROGRESSIVE = 0xD9, 0xDA, 0xE1, 0xC2
_HUFFMAN_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TABLES = frozenset({0xC4, 0xDB, 0xDD})
# Both tell the decoder which colour space the components are in: JFIF and Adobe.
_COLOR_SPACES = {0xE0: b"JFIF\x00", 0xEE: b"Adobe"}

_PNG_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})


def before_opening(data: bytes, kind: ImageFormat, max_pixels: int) -> tuple[bytes, bytes | None]:
    """Return what Pillow may see of a file, and the raw EXIF block that it does not.

    Raises:
        ImageError: reading the header alone would take too long or too much memory.
    """
    if kind == "JPEG":
        return _jpeg_pixels(data)
    if kind == "PNG":
        return _png_pixels(data)
    if kind != "BMP":  # Pillow gets memory for a canvas as soon as it opens one
        canvas = _webp_canvas(data) if kind == "WEBP" else _gif_canvas(data)
        check_size(kind, canvas, max_pixels)
    return data, None


def before_loading(image: ImageFile, kind: ImageFormat, max_pixels: int) -> None:
    """Check the header that Pillow found.

    Raises:
        ImageError: loading the image would take too long or too much memory, or give colours
            that are not in the file.
    """
    check_size(kind, image.size, max_pixels)
    if kind == "PNG":
        _check_palette(image)
    elif kind == "BMP":
        _check_run_lengths(image)


def check_size(kind: ImageFormat, size: tuple[int, int], max_pixels: int) -> None:
    """Check what the header of a file announces.

    Raises:
        TooManyPixels: more than `max_pixels`.
        UndecodableImage: a side that is too long.
    """
    width, height = size
    if max(size) > MAX_SIDE:
        raise UndecodableImage(
            f"Expected at most {MAX_SIDE} pixels a side. Received: {width} x {height}"
        )
    if width * height > max_pixels:
        raise TooManyPixels(
            f"Expected at most {max_pixels} pixels. Received: a {kind} header that announces "
            f"{width} x {height}"
        )


def _jpeg_pixels(data: bytes) -> tuple[bytes, bytes | None]:
    """Return a JPEG without what no pixel depends on, and its EXIF block."""
    kept, exif, frame = [data[:2]], None, b""
    for marker, start, end in islice(_jpeg_segments(data, 2), MAX_SEGMENTS):
        payload = data[start + 4 : end]
        if marker == _SOS:
            _check_scans(data, start, frame)
            return b"".join((*kept, memoryview(data)[start:])), exif
        if marker in _FRAMES:
            _check_frame(marker)
            frame = data[start + 1 : end]
        color_space = marker in _COLOR_SPACES and payload.startswith(_COLOR_SPACES[marker])
        if marker in _FRAMES or marker in _TABLES or color_space:
            kept.append(data[start:end])
        elif marker == _EXIF and payload.startswith(b"Exif\x00\x00"):
            exif = exif or payload
    raise UndecodableImage(
        f"Expected a JPEG with a scan within its first {MAX_SEGMENTS} segments. Received: none"
    )


def _jpeg_segments(data: bytes, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of each segment after `end`, skipping coded pixels."""
    while (found := _JPEG_MARKER.search(data, end)) and data[found.end() - 1] != _EOI:
        start, body = found.span()
        length = int.from_bytes(data[body : body + 2])
        end = body + length
        if length < 2 or end > len(data):
            raise UndecodableImage(
                f"Expected complete JPEG segments. Received: {len(data)} bytes that are cut short "
                "or broken"
            )
        yield data[body - 1], start, end


def _check_frame(marker: int) -> None:
    if marker not in _HUFFMAN_FRAMES:
        raise UndecodableImage(
            "Expected a baseline, extended or progressive Huffman-coded JPEG. "
            f"Received: frame type {marker - 0xC0}"
        )


def _check_scans(data: bytes, first: int, frame: bytes) -> None:
    """Bound the scans of a JPEG.

    Args:
        data: the whole file.
        first: where its first scan begins.
        frame: its frame header, from the marker on.
    """
    if frame[0] != _PROGRESSIVE and data[first + 4] == frame[8]:
        return  # one scan of all components, and the decoder stops after it
    pixels = int.from_bytes(frame[4:6]) * int.from_bytes(frame[6:8])
    most = min(MAX_SCANS, max(USUAL_SCANS, MAX_SCANNED_PIXELS // max(1, pixels)))
    scans = (marker for marker, _, _ in _jpeg_segments(data, first) if marker == _SOS)
    if next(islice(scans, most, None), None) is not None:
        raise UndecodableImage(
            f"Expected at most {most} scans in a JPEG of this size. Received: more"
        )


def _png_pixels(data: bytes) -> tuple[bytes, bytes | None]:
    """Return a PNG without what no pixel depends on, and its EXIF block.

    An animated PNG is its default image, the one that a viewer without animation shows.
    """
    kept, exif, end = [data[:8]], None, 8
    for _ in range(MAX_CHUNKS):
        start, name = end, data[end + 4 : end + 8]
        end = start + 12 + int.from_bytes(data[start : start + 4])
        if end > len(data):
            raise UndecodableImage(
                f"Expected PNG chunks up to IEND. Received: {len(data)} bytes that are cut short "
                "or broken"
            )
        if name in _PNG_PIXELS:
            _check_crc(name, data[start:end])
            kept.append(data[start:end])
        elif name == b"eXIf":
            exif = data[start + 8 : end - 4]
        if name == b"IEND":
            return b"".join(kept), exif
    raise UndecodableImage(f"Expected at most {MAX_CHUNKS} PNG chunks. Received: more")


def _check_crc(name: bytes, chunk: bytes) -> None:
    # Pillow does not check that of image data, and would hand out wrong pixels.
    if zlib.crc32(memoryview(chunk)[4:-4]) != int.from_bytes(chunk[-4:]):
        raise UndecodableImage(
            f"Expected intact PNG data. Received: a {name.decode()} chunk with a wrong checksum"
        )


def _check_palette(image: ImageFile) -> None:
    entries = image.palette.palette if image.palette else b""
    if image.mode == "P" and (not entries or len(entries) % 3 or len(entries) > 768):
        raise UndecodableImage(
            f"Expected a PNG palette of 1 to 256 colours. Received: {len(entries)} bytes"
        )


def _webp_canvas(data: bytes) -> tuple[int, int]:
    """Return width and height of a WebP's canvas (RFC 9649), 0 x 0 where the header is broken."""
    if data[12:16] == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif data[23:26] == b"\x9d\x01\x2a":
        width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    else:
        width = height = 0
    return width, height


def _gif_canvas(data: bytes) -> tuple[int, int]:
    """Return width and height of a GIF's canvas, which its first frame may widen.

    What stands before that frame is bounded, and junk there refused: Pillow passes over it.
    """
    position = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)  # past the colour table
    blocks = 0
    while data[position] == 0x21 and blocks <= MAX_BLOCKS:
        blocks, position = blocks + 1, position + 2
        while (size := data[position]) and blocks <= MAX_BLOCKS:
            blocks, position = blocks + 1, position + 1 + size
        position += 1
    if data[position] != 0x2C or blocks > MAX_BLOCKS:
        raise UndecodableImage(
            f"Expected a GIF frame after at most {MAX_BLOCKS} other blocks. Received: none"
        )
    left, top, width, height = struct.unpack_from("<4H", data, position + 1)
    canvas_width, canvas_height = struct.unpack_from("<2H", data, 6)
    return max(canvas_width, left + width), max(canvas_height, top + height)


def _check_run_lengths(image: ImageFile) -> None:
    """Bound the work of the run-length decoder, which reads on until it has every pixel.

    Some codes give none. The file is cut where the least compressed coding would end.
    """
    if image.tile[0].codec_name != "bmp_rle" or image.fp is None:
        return
    width, height = image.size
    if width * height > MAX_RLE_PIXELS:
        raise TooManyPixels(
            f"Expected at most {MAX_RLE_PIXELS} pixels in a run-length coded bitmap. "
            f"Received: {width} x {height}"
        )
    image.fp.truncate(image.tile[0].offset + 2 * (width + 1) * height + 1024)
