"""The markers of a JPEG file (ITU-T T.81, annex B)."""

import re
from dataclasses import dataclass, field

from model_store.containers.contents import Contents
from model_store.errors import UndecodableImage

# A progressive file repeats its pass over all coefficients with every scan, for a handful of bytes
# each. Encoders write about ten. More are passed over only in images small enough for it: what
# counts is pixels times scans, of which a processor does about two thousand million a second.
USUAL_SCANS = 20
MAX_SCANS = 100
MAX_SCANNED_PIXELS = 1_000_000_000

# Before the first scan. Photographs with extended metadata have some hundred.
MAX_SEGMENTS = 4096

_SOI = b"\xff\xd8"
_EOI, _SOS, _DHT, _DQT, _DRI = 0xD9, 0xDA, 0xC4, 0xDB, 0xDD
_JFIF, _EXIF, _ADOBE = 0xE0, 0xE1, 0xEE
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {_DHT, 0xC8, 0xCC}
_HUFFMAN_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_PROGRESSIVE = 0xC2

# Inside compressed data 0xFF is followed by a stuffed zero, a restart marker or fill.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


@dataclass(slots=True)
class _Header:
    """What stands before the first scan."""

    segments: list[bytes] = field(default_factory=lambda: [_SOI])
    exif: bytes | None = None
    frame: bytes | None = None
    frame_marker: int = 0


def read(data: bytes) -> Contents:
    """Read the header of a JPEG file and count its scans."""
    header, scan = _read_header(data)
    frame = header.frame
    if frame is None or len(frame) < 8:
        raise UndecodableImage("Expected a JPEG frame header before the first scan. Received: none")
    height, width = int.from_bytes(frame[3:5]), int.from_bytes(frame[5:7])
    if not height or not width:
        raise UndecodableImage(
            f"Expected a JPEG of at least 1 x 1 pixels. Received: {width} x {height}"
        )
    components = frame[7]
    if header.frame_marker == _PROGRESSIVE or data[scan + 4 : scan + 5] != bytes([components]):
        _count_scans(data, scan, _most_scans(width * height))
    essential = b"".join((*header.segments, memoryview(data)[scan:]))
    return Contents(width, height, essential, exif=header.exif)


def _read_header(data: bytes) -> tuple[_Header, int]:
    """Return the header and the position of the first start-of-scan marker."""
    header, position = _Header(), 2
    for _ in range(MAX_SEGMENTS):
        position, marker = _marker_at(data, position)
        if marker == _SOS:
            return header, position
        if marker in _STANDALONE:
            position += 2
            continue
        end = _segment_end(data, position)
        _sort(header, marker, data[position:end])
        position = end
    raise UndecodableImage(
        f"Expected at most {MAX_SEGMENTS} JPEG segments before the first scan. Received: more"
    )


def _marker_at(data: bytes, position: int) -> tuple[int, int]:
    """Return the position of the next marker's 0xFF, past fill and junk, and its code."""
    match = _NEXT_MARKER.search(data, position)
    if match is None or data[match.start() + 1] == _EOI:
        raise UndecodableImage("Expected a JPEG with at least one scan. Received: none")
    return match.start(), data[match.start() + 1]


def _segment_end(data: bytes, position: int) -> int:
    length = int.from_bytes(data[position + 2 : position + 4])
    end = position + 2 + length
    if length < 2 or end > len(data):
        raise UndecodableImage("Expected complete JPEG segments. Received: one that is cut off")
    return end


def _sort(header: _Header, marker: int, segment: bytes) -> None:
    if marker in _FRAMES:
        _check_frame(header, marker, segment)
        header.frame, header.frame_marker = segment[2:], marker
        header.segments.append(segment)
    elif marker in (_DHT, _DQT, _DRI) or (
        # Both tell the decoder which colour space the components are in.
        (marker == _JFIF and segment[4:9] == b"JFIF\x00")
        or (marker == _ADOBE and segment[4:9] == b"Adobe")
    ):
        header.segments.append(segment)
    elif marker == _EXIF and segment[4:10] == b"Exif\x00\x00" and header.exif is None:
        header.exif = segment[4:]


def _check_frame(header: _Header, marker: int, segment: bytes) -> None:
    if header.frame is not None:
        raise UndecodableImage("Expected one JPEG frame. Received: a second frame header")
    if marker not in _HUFFMAN_FRAMES:
        raise UndecodableImage(
            "Expected a baseline, extended or progressive Huffman-coded JPEG. "
            f"Received: frame type {marker - 0xC0}"
        )
    if segment[4:5] != b"\x08":
        raise UndecodableImage("Expected 8 bits per JPEG sample. Received: another depth")


def _most_scans(pixels: int) -> int:
    return min(MAX_SCANS, max(USUAL_SCANS, MAX_SCANNED_PIXELS // pixels))


def _count_scans(data: bytes, position: int, most: int) -> None:
    scans = 0
    while (match := _NEXT_MARKER.search(data, position)) is not None:
        marker = data[match.start() + 1]
        if marker == _EOI:
            return
        scans += marker == _SOS
        if scans > most:
            raise UndecodableImage(
                f"Expected at most {most} scans in a JPEG of this size. Received: more"
            )
        position = match.end() if marker in _STANDALONE else _segment_end(data, match.start())
