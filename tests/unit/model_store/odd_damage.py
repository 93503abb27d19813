"""Good files cut short at many places, and with single bits flipped."""

from collections.abc import Iterator

import numpy as np
from handmade_images import (
    INDEXED,
    TRUECOLOR_ALPHA,
    bmp,
    bmp_rows,
    gif,
    png,
)
from odd_files import QUARTERS, SIDE, UNDECODABLE, UNSUPPORTED, Quarters, Row, colors, grays
from odd_layouts import RAMP
from pictures import encoded
from PIL import Image

CUTS = 16
FLIPS = 16
SIGNATURES = {"jpeg": 3, "png": 8, "gif": 6, "webp": 12, "bmp": 2}  # bytes


def damaged() -> Iterator[Row]:
    for name, data in good_files().items():
        yield from _cut(name, data)
        yield from _flipped(name, data)


def good_files() -> dict[str, bytes]:
    gray, rgb = Image.fromarray(grays()), Image.fromarray(colors())
    rgba = np.dstack([colors(), np.full((SIDE, SIDE), 255, np.uint8)])
    return {
        "jpeg-gray": encoded(gray, "JPEG", quality=95),
        "jpeg-color": encoded(rgb, "JPEG", quality=95),
        "jpeg-progressive": encoded(rgb, "JPEG", quality=95, progressive=True),
        "png-gray": png(grays()),
        "png-palette": png(grays(), 8, INDEXED, palette=RAMP),
        "png-alpha": png(rgba, 8, TRUECOLOR_ALPHA, interlace=True),
        "gif-plain": gif(grays(), RAMP),
        "webp-lossy": encoded(rgb, "WEBP", quality=90),
        "webp-lossless": encoded(rgb, "WEBP", lossless=True),
        "bmp-truecolor": bmp(SIDE, SIDE, 24, bmp_rows(row.tobytes() for row in colors())),
    }


def _cut(name: str, data: bytes) -> Iterator[Row]:
    """A file that lacks its end is refused, however little is missing of the first frame."""
    signature = SIGNATURES[name.partition("-")[0]]
    # The last two bytes of a GIF end its blocks and hold nothing; a file without them was accepted
    # by every viewer ever. So it is with a JPEG's end marker.
    last = len(data) - {"gif-plain": 3}.get(name, 1)
    for place in np.linspace(0, last, CUTS).round().astype(int).tolist():
        expected = UNSUPPORTED if place < signature else UNDECODABLE
        yield f"{name}-cut-at-{place}", data[:place], expected


def _flipped(name: str, data: bytes) -> Iterator[Row]:
    for number, expected in enumerate(FLIPPED[name].split()):
        place = round(number * (len(data) - 1) / (FLIPS - 1))
        flipped = bytearray(data)
        flipped[place] ^= 1 << (number % 8)
        yield f"{name}-flip-{number}", bytes(flipped), _read(expected), 12


def _read(word: str) -> str | Quarters:
    if word == "same":
        return QUARTERS
    if "," not in word:
        return {"format": UNSUPPORTED, "broken": UNDECODABLE}[word]
    first, second, third, fourth = (int(level) for level in word.split(","))
    return first, second, third, fourth


# What becomes of each flip: "format" and "broken" are refused; "same" is shown as it was; else the
# quarters. Nobody can tell a flipped bit in compressed JPEG, WebP or BMP pixels from an image.
FLIPPED: dict[str, str] = {
    "jpeg-gray": "format broken same same 128,128,128,128 broken broken"
    " same same same same same same same 60,93,190,197 broken",
    "jpeg-color": "format same same same broken broken same same same same broken"
    " same same same same broken",
    "jpeg-progressive": "format" + 4 * " same" + 8 * " broken" + " same same broken",
    "png-gray": "format format" + 14 * " broken",
    "png-palette": "format" + 15 * " broken",
    "png-alpha": "format" + 15 * " broken",
    "gif-plain": "format same same same same same 255,255,255,255" + 9 * " same",
    "webp-lossy": "format broken format broken broken 130,129,130,129 broken broken"
    " same same same broken 130,129,130,129 broken broken same",
    "webp-lossless": "format broken format broken broken broken broken broken 30,85,150,206"
    " broken same broken broken broken broken same",
    "bmp-truecolor": "format" + 15 * " same",
}
