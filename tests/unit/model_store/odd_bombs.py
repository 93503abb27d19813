"""Small files that announce, or unpack to, much more than they should."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from handmade_images import (
    INDEXED,
    PNG_SIGNATURE,
    TRUECOLOR_ALPHA,
    bmp,
    chunk,
    gif,
    gif_frame,
    ihdr,
    jpeg_segment,
    png,
    sub_blocks,
    webp_chunks,
)
from odd_files import QUARTERS, SIDE, TOO_MANY, UNDECODABLE, WHITE, Row, colors, grays
from odd_layouts import RAMP
from pictures import encoded
from PIL import Image

BLACK = (0, 0, 0, 0)
ENTRIES = [(0, 0, 0)] * 16


def bombs() -> Iterator[Row]:
    yield from _announced()
    yield from _scans()
    yield from _compressed()
    yield from _crowds()
    yield from _run_lengths()


def _announced() -> Iterator[Row]:
    """Pixels that the header promises and the file does not hold."""
    for width, height in ((7072, 7071), (65_000, 65_000), (65_535, 65_535)):
        size = f"{width}x{height}"
        yield f"png-announces-{size}", _png_of(width, height), TOO_MANY
        yield f"jpeg-announces-{size}", progressive(width, height, 1), TOO_MANY
        yield f"gif-announces-{size}", gif(grays(), RAMP, canvas=(width, height)), TOO_MANY
        data = bmp(width, height, 8, b"\0\1", palette=ENTRIES, compression=1)
        yield f"bmp-announces-{size}", data, TOO_MANY
        yield f"bmp-lacks-{size}", bmp(width, height, 24, bytes(3000)), TOO_MANY
    for side in (7100, 16_384):
        canvas = (side - 1).to_bytes(3, "little") * 2
        data = webp_chunks((b"VP8X", b"\0\0\0\0" + canvas), (b"VP8 ", bytes(20)))
        yield f"webp-canvas-{side}", data, TOO_MANY
        bits = (side - 1) | (side - 1) << 14
        data = webp_chunks((b"VP8L", b"\x2f" + struct.pack("<I", bits) + bytes(20)))
        yield f"webp-lossless-{side}", data, TOO_MANY
    sides = struct.pack("<HH", 16_383, 16_383)
    data = webp_chunks((b"VP8 ", b"\x10\0\0\x9d\x01\x2a" + sides + bytes(20)))
    yield "webp-lossy-16383", data, TOO_MANY
    canvas = b"\xff\xff\xff" * 2
    data = webp_chunks((b"VP8X", b"\0\0\0\0" + canvas), (b"VP8 ", bytes(20)))
    yield "webp-canvas-of-2-to-the-48", data, UNDECODABLE
    yield "bmp-lacks-some", bmp(2000, 2000, 24, bytes(3000)), UNDECODABLE
    for width, height in ((1, 65_536), (65_536, 1), (1, 2**31 - 1), (2**31 - 1, 1), (2, 10**7)):
        yield f"png-side-{width}x{height}", _png_of(width, height), UNDECODABLE
    yield "bmp-side-1x70000", bmp(1, 70_000, 1, bytes(4 * 70_000), palette=ENTRIES[:2]), UNDECODABLE
    tall = bmp(1, 70_000, 8, b"\x01\0\0\0" * 70_000, palette=ENTRIES, compression=1)
    yield "bmp-rle-side-1x70000", tall, UNDECODABLE
    for width, height in ((1, 65_535), (65_535, 1)):
        yield f"png-longest-side-{width}x{height}", png(np.zeros((height, width), int), 1), BLACK


def _png_of(width: int, height: int) -> bytes:
    return PNG_SIGNATURE + ihdr(width, height) + chunk(b"IDAT", b"x") + chunk(b"IEND")


def progressive(width: int, height: int, scans: int, *, components: int = 1) -> bytes:
    """A JPEG whose scans after the first, of a few bytes each, refine what is not there."""
    frame = struct.pack(">BHHB", 8, height, width, components) + b"".join(
        bytes([number, 0x11, 0]) for number in range(1, components + 1)
    )
    table = bytes([1, *[0] * 15])  # one code of one bit
    scan = bytes([components]) + b"".join(bytes([number, 0]) for number in range(1, components + 1))
    parts = [
        b"\xff\xd8",
        jpeg_segment(0xDB, b"\0" + b"\x01" * 64),
        jpeg_segment(0xC2, frame),
        jpeg_segment(0xC4, b"\x00" + table + b"\x00"),
        jpeg_segment(0xDA, scan + b"\0\0\x01"),
        jpeg_segment(0xDA, scan + b"\0\0\x10") * (scans - 1),
        b"\xff\xd9",
    ]
    return b"".join(parts)


def _scans() -> Iterator[Row]:
    gray = (128, 128, 128, 128)
    for scans, expected in ((2, gray), (20, gray), (100, gray), (101, UNDECODABLE)):
        yield f"jpeg-small-of-{scans}-scans", progressive(SIDE, SIDE, scans), expected
    for scans in (5000, 100_000):
        yield f"jpeg-of-{scans}-scans", progressive(SIDE, SIDE, scans), UNDECODABLE
    # A thousand million pixels in all scans together, or 20 scans.
    for side, most in ((3162, 100), (5000, 40), (7000, 20)):
        yield f"jpeg-{side}-of-{most + 1}-scans", progressive(side, side, most + 1), UNDECODABLE
    data = progressive(7000, 7000, 20, components=4)
    yield "jpeg-7000-of-20-scans-of-4-components", data, (64,) * 4
    base = encoded(Image.fromarray(grays()), "JPEG", quality=95)
    scan = base[base.index(b"\xff\xda") : -2]
    yield "jpeg-baseline-of-2-scans", base[:-2] + scan + b"\xff\xd9", UNDECODABLE


def _compressed() -> Iterator[Row]:
    """Data that unpacks to far more than anybody needs."""
    zeros = zlib.compress(bytes(30_000_000), 9)
    chunks = {
        "profile": chunk(b"iCCP", b"x\0\0" + zeros),
        "text": chunk(b"zTXt", b"Comment\0\0" + zeros),
        "international-text": chunk(b"iTXt", b"Comment\0\x01\0\0\0" + zeros),
        "1000-texts": chunk(b"zTXt", b"Comment\0\0" + zeros) * 50,
    }
    for name, part in chunks.items():
        yield f"png-{name}-bomb", png(grays(), before=[part]), QUARTERS
        yield f"png-{name}-bomb-after-data", png(grays(), after=[part]), QUARTERS
    head = PNG_SIGNATURE + ihdr(SIDE, SIDE)
    yield "png-data-bomb", head + chunk(b"IDAT", zeros) + chunk(b"IEND"), BLACK
    twice = zlib.compress(zeros, 9)
    yield "png-data-packed-twice", head + chunk(b"IDAT", twice) + chunk(b"IEND"), UNDECODABLE
    frames = chunk(b"fdAT", bytes(4) + zeros) * 20
    animated = png(grays(), before=[chunk(b"acTL", struct.pack(">II", 20, 0))], after=[frames])
    yield "png-animation-bomb", animated, QUARTERS
    yield "png-all-see-through", png(np.zeros((2000, 2000, 4), int), 16, TRUECOLOR_ALPHA), WHITE


def _crowds() -> Iterator[Row]:
    """Many small parts."""
    text = chunk(b"tEXt", b"a\0b")
    yield "png-60000-chunks", png(grays(), before=[text * 60_000]), QUARTERS
    yield "png-70000-chunks", png(grays(), before=[text * 70_000]), UNDECODABLE
    empty = chunk(b"IDAT")
    yield "png-60000-empty-data-chunks", png(grays(), before=[empty * 60_000]), QUARTERS
    palettes = png(grays(), 8, INDEXED, palette=RAMP, after=[chunk(b"PLTE", bytes(768)) * 100])
    yield "png-palettes-after-data", palettes, QUARTERS
    comment = b"!\xfe" + sub_blocks(b"x", 1)
    yield "gif-130000-comments", gif(grays(), RAMP, extensions=comment * 130_000), QUARTERS
    yield "gif-200000-comments", gif(grays(), RAMP, extensions=comment * 200_000), UNDECODABLE
    data = gif(grays(), RAMP, extensions=b"!\xfe" + b"\x01x" * 300_000 + b"\0")
    yield "gif-comment-of-300000-blocks", data, UNDECODABLE
    frame = gif_frame(np.zeros((SIDE, SIDE), int))
    yield "gif-5000-frames", gif(grays(), RAMP, more_frames=frame * 5000), QUARTERS
    yield "gif-pixel-on-a-huge-canvas", gif(grays()[:1, :1], RAMP, canvas=(7000, 7000)), WHITE
    frames = [Image.new("RGB", (SIDE, SIDE), (shade % 256,) * 3) for shade in range(300)]
    options = {"save_all": True, "append_images": frames, "lossless": True, "method": 0}
    yield "webp-301-frames", encoded(Image.fromarray(colors()), "WEBP", **options), QUARTERS
    still = encoded(Image.fromarray(colors()), "WEBP", lossless=True)
    body = still[12:] + (b"JUNK" + bytes(4)) * 70_000
    yield "webp-70000-chunks", b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body, QUARTERS
    jpeg = encoded(Image.fromarray(grays()), "JPEG", quality=95)
    for count, expected in ((4000, QUARTERS), (5000, UNDECODABLE)):
        data = jpeg[:2] + jpeg_segment(0xFE, b"x") * count + jpeg[2:]
        yield f"jpeg-{count}-comments", data, expected, 3


def _run_lengths() -> Iterator[Row]:
    """Codes that cost time and give no pixel, and images too large for a decoder in Python."""
    for name, code in (
        ("jumps", b"\0\x02\0\0"),
        ("line-ends", b"\0\0"),
        ("literals", b"\0\x03abc\0"),
    ):
        data = bmp(1000, 1000, 8, code * 3_000_000, palette=ENTRIES, compression=1)
        expected = BLACK if name == "literals" else UNDECODABLE
        yield f"bmp-rle-only-{name}", data[:15_000_000], expected
    for width, height, expected in ((1000, 1000, BLACK), (1001, 1000, TOO_MANY)):
        pixels = (b"\xfa\x00" * (width // 250) + b"\x01\0" * (width % 250) + b"\0\0") * height
        data = bmp(width, height, 8, pixels, palette=ENTRIES, compression=1)
        yield f"bmp-rle-{width}x{height}", data, expected
