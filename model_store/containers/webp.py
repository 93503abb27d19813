"""The chunks of a WebP file (RFC 9649)."""

from collections.abc import Iterator

from model_store.containers.contents import Contents
from model_store.errors import UndecodableImage

MAX_CHUNKS = 65_536  # animations have two or three for each frame

_LOSSY_START = b"\x9d\x01\x2a"
_LOSSLESS_START = 0x2F


def read(data: bytes) -> Contents:
    """Read canvas size and EXIF block of a WebP file, still or animated."""
    size = _canvas(data)
    if size is None:
        raise UndecodableImage("Expected a WebP header with a size. Received: a broken one")
    width, height = size
    if not width or not height:
        raise UndecodableImage(
            f"Expected a WebP of at least 1 x 1 pixels. Received: {width} x {height}"
        )
    exif = next((payload for name, payload in _chunks(data) if name == b"EXIF"), None)
    return Contents(width, height, data, exif=exif)


def _canvas(data: bytes) -> tuple[int, int] | None:
    kind, body = data[12:16], data[20:30]
    if kind == b"VP8 " and len(body) == 10 and body[3:6] == _LOSSY_START:
        return _u16(body, 6) & 0x3FFF, _u16(body, 8) & 0x3FFF
    if kind == b"VP8L" and len(body) >= 5 and body[0] == _LOSSLESS_START:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X" and len(body) == 10:
        width, height = (int.from_bytes(body[at : at + 3], "little") for at in (4, 7))
        return width + 1, height + 1
    return None


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise UndecodableImage(f"Expected {end} bytes of WebP. Received: {len(data)}")
    position = 12
    for _ in range(MAX_CHUNKS):
        if position + 8 > end:
            return
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        yield data[position : position + 4], data[position + 8 : position + 8 + length]
        position += 8 + length + length % 2
    raise UndecodableImage(f"Expected at most {MAX_CHUNKS} WebP chunks. Received: more")


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")
