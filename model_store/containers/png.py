"""The chunks of a PNG file (W3C PNG, third edition)."""

import zlib
from collections.abc import Iterator

from model_store.containers.contents import Contents
from model_store.errors import UndecodableImage

SIGNATURE = b"\x89PNG\r\n\x1a\n"

# Encoders write image data in pieces of 8 KB or more; this leaves room for tiny ones.
MAX_CHUNKS = 65_536

_PALETTE = 3
_GRAY, _TRUECOLOR = 0, 2
_FULL_SCALE = {1: 255, 2: 85, 4: 17, 8: 1, 16: 1}  # what the decoder multiplies samples by


def read(data: bytes) -> Contents:
    """Read the chunks of a PNG file and check those that make up its image.

    An animated PNG is its default image, the one that a viewer without animation shows.
    """
    kept = [SIGNATURE]
    found: dict[bytes, bytes] = {}
    for name, chunk in _chunks(data):
        if name in (b"IHDR", b"PLTE", b"tRNS", b"eXIf"):
            found.setdefault(name, chunk[8:-4])
        if name in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
            _check_crc(name, chunk)
            kept.append(chunk)
        elif name == b"tRNS" and _color_type(found) == _PALETTE:
            kept.append(_chunk(name, chunk[8:-4]))
    header = found.get(b"IHDR", b"")
    width, height = int.from_bytes(header[:4]), int.from_bytes(header[4:8])
    if not kept[1][4:8] == b"IHDR" or len(header) != 13 or not width or not height:
        raise UndecodableImage("Expected a PNG header chunk first. Received: none that is valid")
    if _color_type(found) == _PALETTE:
        _check_palette(found.get(b"PLTE", b""))
    return Contents(
        width, height, b"".join(kept), exif=found.get(b"eXIf"), transparent=_transparent(found)
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and bytes (length, name, payload, CRC) of each chunk up to and with IEND."""
    position = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        length = int.from_bytes(data[position : position + 4])
        name = data[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(data):
            raise UndecodableImage("Expected PNG chunks up to IEND. Received: a truncated file")
        yield name, data[position:end]
        if name == b"IEND":
            return
        position = end
    raise UndecodableImage(f"Expected at most {MAX_CHUNKS} PNG chunks. Received: more")


def _chunk(name: bytes, payload: bytes) -> bytes:
    crc = zlib.crc32(payload, zlib.crc32(name))
    return len(payload).to_bytes(4) + name + payload + crc.to_bytes(4)


def _check_crc(name: bytes, chunk: bytes) -> None:
    # The decoder does not check that of image data, and would hand out wrong pixels.
    if zlib.crc32(memoryview(chunk)[4:-4]) != int.from_bytes(chunk[-4:]):
        raise UndecodableImage(
            f"Expected intact PNG data. Received: a {name.decode()} chunk with a wrong checksum"
        )


def _check_palette(entries: bytes) -> None:
    if not entries or len(entries) % 3 or len(entries) > 768:
        raise UndecodableImage(
            f"Expected a PNG palette of 1 to 256 colours. Received: {len(entries)} bytes"
        )


def _color_type(found: dict[bytes, bytes]) -> int | None:
    header = found.get(b"IHDR", b"")
    return header[9] if len(header) == 13 else None


def _transparent(found: dict[bytes, bytes]) -> tuple[int, ...] | None:
    """Return the see-through colour of an image without a palette, in decoded samples."""
    key = found.get(b"tRNS")
    kind, depth = _color_type(found), found[b"IHDR"][8]
    if key is None or kind not in (_GRAY, _TRUECOLOR):
        return None
    count = 1 if kind == _GRAY else 3
    if len(key) < 2 * count:
        return None
    samples = [int.from_bytes(key[2 * i : 2 * i + 2]) for i in range(count)]
    if kind == _TRUECOLOR and depth == 16:  # decoded to the high byte
        return tuple(sample >> 8 for sample in samples)
    return tuple(sample * _FULL_SCALE.get(depth, 1) for sample in samples)
