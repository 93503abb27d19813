"""Files whose structure is wrong, and files of formats that are not accepted."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from handmade_images import (
    GRAY,
    INDEXED,
    PNG_SIGNATURE,
    bmp,
    bmp_rows,
    chunk,
    gif,
    ihdr,
    jpeg_segment,
    png,
    webp_chunks,
    with_jpeg_segments,
)
from odd_files import QUARTERS, SIDE, UNDECODABLE, UNSUPPORTED, Row, colors, grays
from odd_layouts import RAMP
from pictures import encoded
from PIL import Image

_ISO = b"\0\0\0\x20ftyp"

# The first bytes of what people try to send, and of what others do.
OTHER_FORMATS: dict[str, bytes] = {
    "nothing": b"",
    "one-byte": b"\xff",
    "half-a-signature": b"\xff\xd8",
    "zeros": bytes(1000),
    "tiff-little": b"II*\0\x08\0\0\0",
    "tiff-big": b"MM\0*\0\0\0\x08",
    "bigtiff": b"II+\0\x08\0\0\0",
    "raw-camera": b"II*\0\x10\0\0\0CR\x02\0",
    "psd": b"8BPS\0\x01",
    "ico": b"\0\0\x01\0\x01\0",
    "cursor": b"\0\0\x02\0\x01\0",
    "pdf": b"%PDF-1.7\n",
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "eps-binary": b"\xc5\xd0\xd3\xc6",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><rect/></svg>',
    "svg-with-declaration": b'<?xml version="1.0"?><svg/>',
    "svg-with-entity": b'<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>',
    "avif": _ISO + b"avif\0\0\0\0",
    "heic": _ISO + b"heic\0\0\0\0",
    "heif": _ISO + b"mif1\0\0\0\0",
    "mp4": _ISO + b"isom\0\0\0\0",
    "jxl": b"\xff\x0a\xfa\x1f",
    "jxl-boxed": b"\0\0\0\x0cJXL \r\n\x87\n",
    "jpeg2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "jpeg2000-stream": b"\xff\x4f\xff\x51",
    "jpeg-xr": b"II\xbc\x01",
    "ppm": b"P6\n4 4\n255\n" + bytes(48),
    "pam": b"P7\nWIDTH 1\n",
    "pcx": b"\x0a\x05\x01\x08",
    "qoi": b"qoif" + bytes(10),
    "tga": bytes([0, 0, 2]) + bytes(15),
    "dds": b"DDS |\0\0\0",
    "icns": b"icns\0\0\0\x08",
    "fits": b"SIMPLE  =                    T",
    "hdf5": b"\x89HDF\r\n\x1a\n",
    "xbm": b"#define im_width 4\n#define im_height 4\nstatic char im_bits[] = {0};",
    "xpm": b"/* XPM */\nstatic char *x[] = {};",
    "fli": bytes([0, 0, 0, 0, 0x12, 0xAF]) + bytes(120),
    "sun-raster": b"\x59\xa6\x6a\x95",
    "sgi": b"\x01\xda\x01\x01",
    "wmf": b"\xd7\xcd\xc6\x9a",
    "emf": b"\x01\0\0\0" + bytes(36) + b" EMF",
    "exr": b"v/1\x01",
    "mng": b"\x8aMNG\r\n\x1a\n",
    "jng": b"\x8bJNG\r\n\x1a\n",
    "wav": b"RIFF\x24\0\0\0WAVEfmt ",
    "riff-too-short": b"RIFF\x24\0\0\0WEB",
    "zip": b"PK\x03\x04",
    "gzip": b"\x1f\x8b\x08\0",
    "pickle": b"\x80\x04\x95\0\0\0\0\0\0\0\0.",
    "elf": b"\x7fELF\x02\x01\x01",
    "html": b"<!doctype html><img src=x>",
    "json": b'{"file": "x.png"}',
    "data-url": b"data:image/png;base64,iVBORw0KGgo=",
    "base64": b"iVBORw0KGgoAAAANSUhEUg==",
    "shell": b"#!/bin/sh\n",
    "byte-order-mark-before-a-png": b"\xef\xbb\xbf" + PNG_SIGNATURE,
    "line-before-a-jpeg": b"\n\xff\xd8\xff\xe0",
    "png-sent-as-text": PNG_SIGNATURE.replace(b"\r\n", b"\n"),
    "gif-of-another-version": b"GIF90a" + bytes(20),
}


# Those of them that are decoded, were there more than a beginning.
DECODED = {"tiff-little", "tiff-big", "bigtiff", "raw-camera", "avif", "heic", "heif"}


def structures() -> Iterator[Row]:
    for name, head in OTHER_FORMATS.items():
        expected = UNDECODABLE if name in DECODED else UNSUPPORTED
        yield f"other-{name}", head, expected
        if len(head) > 4:
            yield f"other-{name}-longer", head + bytes(2000), expected
    for name, data in (
        *_png_structures(),
        *_jpeg_structures(),
        *_gif_structures(),
        *_webp_structures(),
        *_bmp_structures(),
    ):
        yield name, data, UNDECODABLE
    yield from _harmless()


def _png_structures() -> Iterator[tuple[str, bytes]]:
    good = png(grays())
    head, rest = good[:8], good[33:]  # around IHDR
    for depth, kind in ((0, 0), (3, 0), (32, 0), (4, 2), (1, 4), (2, 6), (16, 3), (8, 1), (8, 5)):
        name = f"png-depth{depth}-of-kind{kind}"
        yield name, head + ihdr(SIDE, SIDE, depth, kind) + rest
    for width, height in ((0, SIDE), (SIDE, 0), (0, 0), (2**31, 1), (SIDE, 2**32 - 1)):
        yield f"png-{width}x{height}", head + ihdr(width, height) + rest
    yield "png-signature-only", PNG_SIGNATURE
    yield "png-no-header", head + rest
    yield "png-header-too-short", head + chunk(b"IHDR", bytes(12)) + rest
    yield "png-header-with-wrong-sum", head + chunk(b"IHDR", good[16:29], crc=0) + rest
    yield "png-no-data", head + ihdr(SIDE, SIDE) + chunk(b"IEND")
    yield "png-no-end", good[:-12]
    yield "png-unknown-interlace", head + ihdr(SIDE, SIDE, 8, GRAY, 2) + rest
    yield "png-data-is-not-compressed", head + ihdr(SIDE, SIDE) + _idat(bytes(1056))
    yield "png-data-too-short", head + ihdr(SIDE, SIDE) + _idat(zlib.compress(bytes(500)))
    yield "png-data-with-wrong-sum", head + ihdr(SIDE, SIDE) + chunk(b"IDAT", b"x", 1) + rest[-12:]
    yield "png-unknown-filter", head + ihdr(SIDE, SIDE) + _idat(zlib.compress(b"\x09" * 1056))
    yield "png-short-color-key", png(grays(), trns=b"\0")
    yield "png-no-palette", png(grays(), 8, INDEXED)
    for size in (1, 2, 4, 767, 769, 771):
        name = f"png-palette-of-{size}-bytes"
        yield name, png(grays(), 8, INDEXED, palette=bytes(size))
    huge = struct.pack(">I", 2**31 - 1) + b"IDAT"
    yield "png-chunk-longer-than-the-file", head + ihdr(SIDE, SIDE) + huge + bytes(100)


def _idat(payload: bytes) -> bytes:
    return chunk(b"IDAT", payload) + chunk(b"IEND")


def _jpeg_structures() -> Iterator[tuple[str, bytes]]:
    good = encoded(Image.fromarray(grays()), "JPEG")
    frame = good.index(b"\xff\xc0")
    scan = good.index(b"\xff\xda")
    for marker in (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF):
        yield f"jpeg-frame-type-{marker - 0xC0}", _patched(good, frame + 1, marker)
    for bits in (0, 7, 12, 16):
        yield f"jpeg-{bits}-bits", _patched(good, frame + 4, bits)
    yield "jpeg-no-height", good[: frame + 5] + b"\0\0" + good[frame + 7 :]
    yield "jpeg-no-width", good[: frame + 7] + b"\0\0" + good[frame + 9 :]
    for count in (0, 2, 5, 255):
        yield f"jpeg-{count}-components", _patched(good, frame + 9, count)
    yield "jpeg-no-frame", good[:frame] + good[frame + 13 :]
    yield "jpeg-two-frames", good[:frame] + good[frame : frame + 13] + good[frame:]
    yield "jpeg-no-scan", good[:scan] + b"\xff\xd9"
    yield "jpeg-start-only", b"\xff\xd8\xff"
    yield "jpeg-start-and-end", b"\xff\xd8\xff\xd9"
    yield "jpeg-segment-of-length-0", with_jpeg_segments(good, b"\xff\xfe\0\0")
    yield "jpeg-segment-of-length-1", with_jpeg_segments(good, b"\xff\xfe\0\x01")
    yield "jpeg-segment-beyond-the-end", with_jpeg_segments(good, b"\xff\xfe\xff\xff")[:2000]
    no_tables = good[: good.index(b"\xff\xdb")] + good[frame:]
    yield "jpeg-no-tables", no_tables
    yield (
        "jpeg-broken-huffman-table",
        good[:2] + jpeg_segment(0xC4, b"\0" + b"\xff" * 16) + good[2:],
    )
    yield "jpeg-tables-only", good[:frame] + b"\xff\xd9"


def _patched(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + bytes([value]) + data[at + 1 :]


def _gif_structures() -> Iterator[tuple[str, bytes]]:
    good = gif(grays(), RAMP)
    frame = good.index(b",", 13 + 768)
    yield "gif-signature-only", b"GIF89a"
    yield "gif-no-frame", good[:frame] + b";"
    yield "gif-unknown-block", good[:frame] + b"\x99" + good[frame:]
    yield "gif-frame-of-no-width", good[: frame + 5] + b"\0\0" + good[frame + 7 :]
    yield "gif-frame-of-no-height", good[: frame + 7] + b"\0\0" + good[frame + 9 :]
    yield "gif-frame-beyond-65535", good[: frame + 1] + b"\xff\xff" + good[frame + 3 :]
    yield "gif-no-pixels", good[: frame + 10] + b"\x08\0;"
    for size in (13, 200):
        yield f"gif-code-size-{size}", _patched(good, frame + 10, size)
    yield (
        "gif-half-the-pixels",
        gif(grays()[:16], RAMP).replace(
            struct.pack("<HHB", SIDE, 16, 0), struct.pack("<HHB", SIDE, SIDE, 0)
        ),
    )
    yield "gif-endless-extension", good[:frame] + b"!\xfe" + b"\x01x" * 1000


def _webp_structures() -> Iterator[tuple[str, bytes]]:
    good = encoded(Image.fromarray(colors()), "WEBP")
    yield "webp-head-only", good[:16]
    yield "webp-longer-than-the-file", good[:4] + struct.pack("<I", 10**9) + good[8:]
    yield "webp-no-chunks", webp_chunks()
    yield "webp-unknown-first-chunk", webp_chunks((b"JUNK", bytes(100)))
    yield "webp-no-start-code", _patched(good, 23, 0)
    yield "webp-no-width", good[:26] + b"\0\0" + good[28:]
    yield "webp-no-height", good[:28] + b"\0\0" + good[30:]
    canvas = (b"VP8X", b"\0\0\0\0" + (SIDE - 1).to_bytes(3, "little") * 2)
    yield "webp-canvas-without-image", webp_chunks(canvas)
    yield "webp-canvas-with-empty-image", webp_chunks(canvas, (b"VP8 ", b""))
    yield "webp-canvas-with-junk", webp_chunks(canvas, (b"VP8L", b"\x2f" + b"\xff" * 50))
    moving = (b"VP8X", b"\x02\0\0\0" + (SIDE - 1).to_bytes(3, "little") * 2)
    yield "webp-animation-without-frames", webp_chunks(moving, (b"ANIM", bytes(6)))
    yield (
        "webp-animation-of-empty-frame",
        webp_chunks(moving, (b"ANIM", bytes(6)), (b"ANMF", bytes(16))),
    )
    other = (b"VP8X", b"\0\0\0\0" + (SIDE + 9).to_bytes(3, "little") * 2)
    yield "webp-canvas-of-another-size", webp_chunks(other, (good[12:16], good[20:]))


def _bmp_structures() -> Iterator[tuple[str, bytes]]:
    rows = bmp_rows(row.tobytes() for row in colors())
    good = bmp(SIDE, SIDE, 24, rows)
    yield "bmp-signature-only", b"BM"
    yield "bmp-head-only", good[:20]
    for size in (0, 11, 13, 41, 2**32 - 1):
        yield f"bmp-header-of-{size}", good[:14] + struct.pack("<I", size) + good[18:]
    for width in (0, -SIDE, -(2**31)):
        yield f"bmp-width-{width}", bmp(width, SIDE, 24, rows)
    yield "bmp-no-height", bmp(SIDE, 0, 24, rows)
    for bits in (3, 5, 48, 64, 65535):
        yield f"bmp-{bits}-bits", bmp(SIDE, SIDE, bits, rows * 2800)
    for coding in (4, 5, 6, 11, 2**32 - 1):
        yield f"bmp-coding-{coding}", bmp(SIDE, SIDE, 24, rows, compression=coding)
    yield "bmp-pixels-beyond-the-end", good[:10] + struct.pack("<I", 10**9) + good[14:]
    yield "bmp-strange-masks", bmp(SIDE, SIDE, 16, rows, compression=3, masks=(1, 2, 4))
    for compression, bits in ((1, 8), (2, 4)):
        for name, codes in (("nothing", b""), ("only-jumps", b"\0\x02\0\0" * 3000)):
            data = bmp(SIDE, SIDE, bits, codes, palette=[(0, 0, 0)] * 16, compression=compression)
            yield f"bmp-rle{bits}-of-{name}", data


def _harmless() -> Iterator[Row]:
    """Faults in what no pixel depends on."""
    before = {
        "empty-text": chunk(b"tEXt"),
        "unknown-chunk": chunk(b"abCd", b"x" * 50),
        "wrong-sum-in-text": chunk(b"tEXt", b"a\0b", crc=7),
        "broken-profile": chunk(b"iCCP", b"x\0\0" + b"\xff" * 30),
        "gamma-of-zero": chunk(b"gAMA", bytes(4)),
        "animation-of-nothing": chunk(b"acTL", bytes(8)),
        "broken-time": chunk(b"tIME", b"\xff"),
        "resolution-of-zero": chunk(b"pHYs", bytes(9)),
        "broken-exif": chunk(b"eXIf", b"II*\0\xff\xff\xff\xff"),
        "long-background": chunk(b"bKGD", bytes(500)),
    }
    good = png(grays())
    yield "png-text-before-the-header", good[:8] + chunk(b"tEXt", b"a\0b") + good[8:], QUARTERS
    long = good[:8] + chunk(b"IHDR", good[16:29] + b"\0") + good[33:]
    yield "png-header-too-long", long, QUARTERS
    for name, part in before.items():
        yield f"png-{name}", png(grays(), before=[part]), QUARTERS
    jpeg = encoded(Image.fromarray(grays()), "JPEG", quality=95)
    segments = {
        "broken-exif": jpeg_segment(0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff"),
        "broken-multi-picture": jpeg_segment(0xE2, b"MPF\0II*\0\xff\xff\xff\xff"),
        "broken-profile": jpeg_segment(0xE2, b"ICC_PROFILE\0\x09\x01xx"),
        "photoshop-block": jpeg_segment(0xED, b"Photoshop 3.0\0" + b"8BIM\xff\xff\xff\xff"),
        "empty-comments": jpeg_segment(0xFE, b"") * 1000,
        "fill-bytes": b"\xff" * 500,
    }
    for name, part in segments.items():
        yield f"jpeg-{name}", with_jpeg_segments(jpeg, part), QUARTERS, 3
    noise = np.random.default_rng(1).bytes(5000)
    yield "jpeg-noise-after-its-end", jpeg + noise, QUARTERS, 3
