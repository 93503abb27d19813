"""Image files written byte by byte, so that tests can have what no encoder writes."""

import struct
import zlib
from collections.abc import Iterable, Sequence

import numpy as np

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRAY, TRUECOLOR, INDEXED, GRAY_ALPHA, TRUECOLOR_ALPHA = 0, 2, 3, 4, 6

# Start row, start column, row step, column step of the seven passes (W3C PNG, section 8).
_ADAM7 = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)


def luma(rgb: np.ndarray) -> np.ndarray:
    """ITU-R 601, rounded to the nearest: (…, 3) 0-255 to (…) float64."""
    return np.rint(rgb.astype(np.float64) @ [0.299, 0.587, 0.114])


def over(gray: np.ndarray, alpha: np.ndarray, background: int = 255) -> np.ndarray:
    share = alpha.astype(np.float64) / 255
    return gray * share + background * (1 - share)


def chunk(name: bytes, payload: bytes = b"", crc: int | None = None) -> bytes:
    checksum = zlib.crc32(name + payload) if crc is None else crc
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", checksum)


def ihdr(width: int, height: int, depth: int = 8, kind: int = GRAY, interlace: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlace))


def png(
    samples: np.ndarray,
    depth: int = 8,
    kind: int = GRAY,
    *,
    palette: bytes = b"",
    trns: bytes = b"",
    interlace: bool = False,
    before: Iterable[bytes] = (),
    after: Iterable[bytes] = (),
) -> bytes:
    """Write (H, W) or (H, W, channels) samples of `depth` bits as a PNG of colour type `kind`."""
    height, width = samples.shape[:2]
    parts = [PNG_SIGNATURE, ihdr(width, height, depth, kind, int(interlace)), *before]
    if palette:
        parts.append(chunk(b"PLTE", palette))
    if trns:
        parts.append(chunk(b"tRNS", trns))
    passes = [samples[r::dr, c::dc] for r, c, dr, dc in _ADAM7] if interlace else [samples]
    rows = b"".join(_png_rows(part, depth) for part in passes if part.size)
    return b"".join([*parts, chunk(b"IDAT", zlib.compress(rows)), *after, chunk(b"IEND")])


def _png_rows(samples: np.ndarray, depth: int) -> bytes:
    flat = samples.reshape(len(samples), -1)
    if depth == 16:
        packed = flat.astype(">u2").view(np.uint8).reshape(len(flat), -1)
    else:
        bits = (flat[..., None] >> np.arange(depth)[::-1]) & 1
        packed = np.packbits(bits.reshape(len(flat), -1).astype(np.uint8), axis=1)
    return b"".join(b"\x00" + row.tobytes() for row in packed)


def gif(
    indices: np.ndarray,
    palette: bytes,
    *,
    canvas: tuple[int, int] | None = None,
    at: tuple[int, int] = (0, 0),
    transparent: int | None = None,
    local_palette: bool = False,
    extensions: bytes = b"",
    more_frames: bytes = b"",
    version: bytes = b"GIF89a",
) -> bytes:
    """Write one frame of (H, W) indices; canvas and `at` are (width, height) and (left, top)."""
    height, width = indices.shape
    screen = canvas or (width, height)
    table = palette.ljust(768, b"\x00")
    head = version + struct.pack("<HHBBB", *screen, 0 if local_palette else 0xF7, 0, 0)
    if not local_palette:
        head += table
    head += extensions
    if transparent is not None:
        head += bytes([0x21, 0xF9, 4, 1, 0, 0, transparent, 0])
    return head + gif_frame(indices, at, table if local_palette else b"") + more_frames + b";"


def gif_frame(indices: np.ndarray, at: tuple[int, int] = (0, 0), table: bytes = b"") -> bytes:
    height, width = indices.shape
    flags = 0x87 if table else 0
    descriptor = b"," + struct.pack("<HHHHB", *at, width, height, flags)
    return descriptor + table + b"\x08" + sub_blocks(_uncompressed_lzw(indices.ravel()))


def sub_blocks(data: bytes, size: int = 255) -> bytes:
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    return b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\x00"


def _uncompressed_lzw(indices: np.ndarray) -> bytes:
    """Nine-bit codes throughout: the table is cleared before it can grow to ten bits."""
    codes: list[int] = []
    for start in range(0, len(indices), 250):
        codes += [256, *indices[start : start + 250].tolist()]
    codes.append(257)
    bits = (np.array(codes)[:, None] >> np.arange(9)) & 1
    return np.packbits(bits.ravel().astype(np.uint8), bitorder="little").tobytes()


def bmp(
    width: int,
    height: int,
    bits: int,
    pixels: bytes,
    *,
    palette: Sequence[tuple[int, int, int]] = (),
    compression: int = 0,
    masks: Sequence[int] = (),
    core: bool = False,
) -> bytes:
    """Write a bitmap; `pixels` are its rows as stored, bottom first unless `height` < 0."""
    if core:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
        table = b"".join(bytes([b, g, r]) for r, g, b in palette)
    else:
        info = struct.pack(
            "<IiiHHIIiiII",
            40,
            width,
            height,
            1,
            bits,
            compression,
            len(pixels),
            0,
            0,
            len(palette),
            0,
        )
        table = b"".join(struct.pack("<I", mask) for mask in masks)
        table += b"".join(bytes([b, g, r, 0]) for r, g, b in palette)
    offset = 14 + len(info) + len(table)
    return b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + info + table + pixels


def bmp_rows(rows: Iterable[bytes]) -> bytes:
    """Pad rows to four bytes and put the bottom one first."""
    return b"".join(row + bytes(-len(row) % 4) for row in reversed(list(rows)))


def exif_block(orientation: int, order: str = "<", kind: int = 3, count: int = 1) -> bytes:
    """A TIFF structure whose first directory holds only the orientation."""
    head = b"II*\x00" if order == "<" else b"MM\x00*"
    value = struct.pack(f"{order}HH", orientation, 0)
    entry = struct.pack(f"{order}HHI", 0x0112, kind, count) + value
    return head + struct.pack(f"{order}IH", 8, 1) + entry + bytes(4)


def jpeg_segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def with_jpeg_segments(jpeg: bytes, *segments: bytes) -> bytes:
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def with_jpeg_exif(jpeg: bytes, block: bytes) -> bytes:
    return with_jpeg_segments(jpeg, jpeg_segment(0xE1, b"Exif\x00\x00" + block))


def webp_chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(payload)) + payload + bytes(len(payload) % 2)
        for name, payload in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body
