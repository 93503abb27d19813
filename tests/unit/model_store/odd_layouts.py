"""Files that are unusual and good: every layout, both ways round, with strangers inside."""

from collections.abc import Iterator

import numpy as np
from handmade_images import (
    GRAY,
    GRAY_ALPHA,
    INDEXED,
    TRUECOLOR,
    TRUECOLOR_ALPHA,
    bmp,
    bmp_rows,
    chunk,
    exif_block,
    gif,
    gif_frame,
    jpeg_segment,
    png,
    webp_chunks,
    with_jpeg_exif,
    with_jpeg_segments,
)
from odd_files import QUARTERS, SIDE, Quarters, Row, colors, grays, quarters
from pictures import encoded
from PIL import Image

RAMP = np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes()  # a palette: index = grey level
HALF = SIDE // 2

# Where the stored top left, top right, bottom left, bottom right are seen (EXIF 2.32, 0x0112).
SEEN = {
    1: (0, 1, 2, 3),
    2: (1, 0, 3, 2),
    3: (3, 2, 1, 0),
    4: (2, 3, 0, 1),
    5: (0, 2, 1, 3),
    6: (2, 0, 3, 1),
    7: (3, 1, 2, 0),
    8: (1, 3, 0, 2),
}


def layouts() -> Iterator[Row]:
    yield from _png_layouts()
    yield from _png_color_keys()
    yield from _bmp_layouts()
    yield from _gif_layouts()
    yield from _jpeg_layouts()
    yield from _webp_layouts()
    yield from _orientations()
    yield from _strangers_inside()


def _thirds(top: int) -> tuple[int, int, int, int]:
    return 0, top // 3, 2 * top // 3, top


def _scaled(samples: tuple[int, ...], top: int) -> Quarters:
    first, second, third, fourth = (round(255 * sample / top) for sample in samples)
    return first, second, third, fourth


def _png_layouts() -> Iterator[Row]:
    depths = {GRAY: (1, 2, 4, 8, 16), INDEXED: (1, 2, 4, 8)}
    channels = {GRAY_ALPHA: 2, TRUECOLOR: 3, TRUECOLOR_ALPHA: 4}
    for kind in (GRAY, INDEXED, GRAY_ALPHA, TRUECOLOR, TRUECOLOR_ALPHA):
        for depth in depths.get(kind, (8, 16)):
            top = 2**depth - 1
            levels = _thirds(top)
            count = channels.get(kind, 1)
            # Half-transparent over white, wherever there is an alpha channel.
            see_through = kind in (GRAY_ALPHA, TRUECOLOR_ALPHA)
            samples = quarters(
                levels if count == 1 else tuple((level,) * count for level in levels)
            )
            if see_through:
                samples[..., -1] = top
                samples[:HALF, :HALF, -1] = 0
            expected = _scaled(levels, top)
            if see_through:
                expected = (255, *expected[1:])
            for interlace in (False, True):
                palette = b""
                if kind == INDEXED:
                    palette = bytes(v for i in range(top + 1) for v in [255 * i // top] * 3)
                data = png(samples, depth, kind, palette=palette, interlace=interlace)
                name = f"png-kind{kind}-depth{depth}-{'adam7' if interlace else 'plain'}"
                yield name, data, expected


def _png_color_keys() -> Iterator[Row]:
    """One colour, or palette entry, is see-through: the top right quarter turns white."""
    for depth in (1, 2, 4, 8, 16):
        top = 2**depth - 1
        levels = _thirds(top)
        key = levels[3]
        seen = _scaled(tuple(top if level == key else level for level in levels), top)
        yield f"png-gray-key-depth{depth}", png(quarters(levels), depth, trns=key.to_bytes(2)), seen
        levels = (top, 0, top, top)
        gray = png(quarters(levels), depth, trns=bytes(2))
        yield f"png-black-key-depth{depth}", gray, (255, 255, 255, 255)
    for depth in (8, 16):
        top = 2**depth - 1
        rgb = quarters(tuple((level,) * 3 for level in _thirds(top)))
        data = png(rgb, depth, TRUECOLOR, trns=(top // 3).to_bytes(2) * 3)
        yield f"png-color-key-depth{depth}", data, (0, 255, 170, 255)
    for depth in (1, 2, 4, 8):
        top = 2**depth - 1
        palette = bytes(3 * (top + 1))  # all black
        indices = quarters((0, top, 0, top))
        data = png(indices, depth, INDEXED, palette=palette, trns=b"\xff" * top + b"\0")
        yield f"png-palette-alpha-depth{depth}", data, (0, 255, 0, 255)
        data = png(indices, depth, INDEXED, palette=palette, trns=b"\x80")
        yield f"png-palette-half-alpha-depth{depth}", data, (127, 0, 127, 0)


def _bmp_layouts() -> Iterator[Row]:
    ramp = [(level, level, level) for level in range(256)]
    for core in (False, True):
        for bits in (1, 4, 8):
            top = 2**bits - 1
            indices = quarters(_thirds(top))
            shifts = np.arange(bits)[::-1]
            packed = np.packbits(((indices[..., None] >> shifts) & 1).reshape(SIDE, -1), axis=1)
            rows = bmp_rows(row.tobytes() for row in packed.astype(np.uint8))
            palette = [ramp[255 * index // top] for index in range(top + 1)]
            data = bmp(SIDE, SIDE, bits, rows, palette=palette, core=core)
            yield f"bmp-{bits}bit-core{core}", data, _scaled(_thirds(top), top)
    rgb = bmp_rows(row.tobytes() for row in colors())
    yield "bmp-24bit", bmp(SIDE, SIDE, 24, rgb), QUARTERS
    yield "bmp-24bit-core", bmp(SIDE, SIDE, 24, rgb, core=True), QUARTERS
    upside = b"".join(row.tobytes() for row in colors())
    yield "bmp-24bit-top-down", bmp(SIDE, -SIDE, 24, upside), QUARTERS
    wide = np.dstack([colors(), np.zeros((SIDE, SIDE), np.uint8)])
    yield "bmp-32bit", bmp(SIDE, SIDE, 32, bmp_rows(row.tobytes() for row in wide)), QUARTERS
    run = bytes([HALF])
    for compression, levels, name in ((1, (30, 90, 160, 220), "rle8"), (2, (0, 5, 10, 15), "rle4")):
        codes = [levels, tuple(17 * level for level in levels)][compression - 1]
        upper, lower = (
            run + bytes([codes[at]]) + run + bytes([codes[at + 1]]) + b"\0\0" for at in (0, 2)
        )
        pixels = lower * HALF + upper * HALF + b"\0\1"
        palette = ramp if compression == 1 else [ramp[17 * index] for index in range(16)]
        bits = 8 if compression == 1 else 4
        data = bmp(SIDE, SIDE, bits, pixels, palette=palette, compression=compression)
        seen = QUARTERS if compression == 1 else (0, 85, 170, 255)
        yield f"bmp-{name}", data, seen
        yield f"bmp-{name}-and-much-after-it", data + bytes(100_000), seen


def _gif_layouts() -> Iterator[Row]:
    frame = grays()
    for version in (b"GIF87a", b"GIF89a"):
        for local in (False, True):
            data = gif(frame, RAMP, local_palette=local, version=version)
            yield f"gif-{version.decode()}-local{local}", data, QUARTERS
    yield "gif-see-through", gif(frame, RAMP, transparent=30), (255, *QUARTERS[1:])
    data = gif(frame[:HALF, :HALF], RAMP, canvas=(SIDE, SIDE), at=(HALF, HALF))
    yield "gif-frame-in-a-corner", data, (255, 255, 255, 30)
    yield "gif-frame-wider-than-its-canvas", gif(frame, RAMP, canvas=(1, 1)), QUARTERS
    yield "gif-canvas-of-nothing", gif(frame, RAMP, canvas=(0, 0)), QUARTERS
    black = gif_frame(np.zeros((SIDE, SIDE), int))
    yield "gif-300-frames", gif(frame, RAMP, more_frames=black * 300), QUARTERS
    yield "gif-no-trailer", gif(frame, RAMP)[:-1], QUARTERS
    yield "gif-junk-after-frame", gif(frame, RAMP)[:-1] + b"\xff" * 99, QUARTERS
    yield "gif-comment", gif(frame, RAMP, extensions=b"!\xfe\x05hello\0" * 50), QUARTERS


def _jpeg_layouts() -> Iterator[Row]:
    gray, rgb = Image.fromarray(grays()), Image.fromarray(colors())
    for progressive in (False, True):
        for quality in (10, 50, 100):
            options = {"progressive": progressive, "quality": quality}
            tolerance = 12 if quality == 10 else 3
            name = f"jpeg-q{quality}-progressive{progressive}"
            yield f"{name}-gray", encoded(gray, "JPEG", **options), QUARTERS, tolerance
            for subsampling in (0, 1, 2):
                data = encoded(rgb, "JPEG", subsampling=subsampling, **options)
                yield f"{name}-color{subsampling}", data, QUARTERS, tolerance
    cmyk = np.zeros((SIDE, SIDE, 4), np.uint8)
    cmyk[..., 3] = 255 - grays()
    inks = Image.frombytes("CMYK", (SIDE, SIDE), cmyk.tobytes())
    yield "jpeg-cmyk", encoded(inks, "JPEG", quality=100), QUARTERS, 3
    yield "jpeg-rgb-components", encoded(rgb, "JPEG", quality=95, keep_rgb=True), QUARTERS
    data = encoded(gray, "JPEG", quality=95, restart_marker_blocks=1)
    yield "jpeg-restart-after-every-block", data, QUARTERS, 3


def _webp_layouts() -> Iterator[Row]:
    rgb = Image.fromarray(colors())
    rgba = rgb.copy()
    rgba.putalpha(Image.fromarray(quarters((0, 255, 255, 255), np.uint8)))
    for lossless in (False, True):
        options = {"lossless": lossless, "quality": 95}
        yield f"webp-lossless{lossless}", encoded(rgb, "WEBP", **options), QUARTERS, 3
        data = encoded(rgba, "WEBP", **options)
        yield f"webp-alpha-lossless{lossless}", data, (255, *QUARTERS[1:]), 3
        frames = [Image.new("RGB", (SIDE, SIDE), (shade,) * 3) for shade in range(0, 250, 25)]
        data = encoded(rgb, "WEBP", save_all=True, append_images=frames, **options)
        yield f"webp-11-frames-lossless{lossless}", data, QUARTERS, 3


def _orientations() -> Iterator[Row]:
    jpeg = encoded(Image.fromarray(grays()), "JPEG", quality=95)
    for order in "<>":
        for tag in (*range(1, 9), 0, 9, 255, 65535):
            first, second, third, fourth = (QUARTERS[place] for place in SEEN.get(tag, SEEN[1]))
            seen = (first, second, third, fourth)
            block = exif_block(tag, order)
            end = "little" if order == "<" else "big"
            files = {
                "jpeg": with_jpeg_exif(jpeg, block),
                "png": png(grays(), before=[chunk(b"eXIf", block)]),
                "png-late": png(grays(), after=[chunk(b"eXIf", block)]),
                "webp": encoded(Image.fromarray(colors()), "WEBP", lossless=True, exif=block),
            }
            for kind, data in files.items():
                yield f"orientation{tag}-{end}-{kind}", data, seen, 3


def _strangers_inside() -> Iterator[Row]:
    """Polyglots: what begins as an image is that image, whatever else it is too."""
    jpeg = encoded(Image.fromarray(grays()), "JPEG", quality=95)
    webp = encoded(Image.fromarray(colors()), "WEBP", lossless=True)
    hosts = {
        "jpeg": jpeg,
        "png": png(grays()),
        "gif": gif(grays(), RAMP),
        "webp": webp,
        "bmp": bmp(SIDE, SIDE, 24, bmp_rows(row.tobytes() for row in colors())),
    }
    guests = {
        "zip": b"PK\x03\x04" + bytes(26) + b"PK\x05\x06" + bytes(18),
        "html": b"<html><script>alert(1)</script></html>",
        "pdf": b"%PDF-1.7\n1 0 obj<<>>endobj\n%%EOF",
        "another-image": png(np.zeros((900, 900), int)),
    }
    for host, data in hosts.items():
        for guest, more in guests.items():
            yield f"{host}-and-{guest}", data + more, QUARTERS, 3
    for guest, more in guests.items():
        comment = with_jpeg_segments(jpeg, jpeg_segment(0xFE, more))
        yield f"jpeg-around-{guest}", comment, QUARTERS, 3
        text = png(grays(), before=[chunk(b"tEXt", b"Comment\0" + more)])
        yield f"png-around-{guest}", text, QUARTERS
    extended = b"\x20\0\0\0" + (SIDE - 1).to_bytes(3, "little") * 2  # flags: a colour profile
    inner = (webp[12:16], webp[20 : 20 + int.from_bytes(webp[16:20], "little")])
    data = webp_chunks((b"VP8X", extended), (b"ICCP", b"no profile"), inner, (b"JUNK", b"x" * 99))
    yield "webp-with-broken-profile", data, QUARTERS
