"""Digits drawn by script, as people draw or print and then photograph them.

Half are set in fonts that Pillow and matplotlib bring along, half are pen strokes with a shaking
hand. All are dark ink on pale, unevenly lit, noisy paper, off centre, of many sizes and pens, and
stored as JPEG. `python drawn_digits.py FOLDER` writes them as a folder of class folders.
"""

import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

CANVAS = 240  # pixels per side of the photograph
GLYPH = 160  # pixels per side of the box a digit is first drawn in
# Fonts whose zero is dotted (DejaVu Sans Mono) or whose digits are old style (cmmi10) are left out.
FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSerif",
    "DejaVuSerif-Italic",
    "DejaVuSerif-Bold",
    "STIXGeneral",
    "STIXGeneralItalic",
    "STIXGeneralBol",
    "cmr10",
    "cmss10",
    "cmtt10",
    "cmti10",
    "Aileron",  # Pillow's own
)

Point = tuple[float, float]
Stroke = tuple[str, Sequence[Point]]  # "curve" through its points, or "lines" between them
# fmt: off
# Every way of writing a digit, in a box of 1 x 1: x to the right, y down.
HANDS: dict[int, Sequence[Sequence[Stroke]]] = {
    0: [
        [("curve", [(0.5, 0), (0.15, 0.2), (0.1, 0.6), (0.4, 1), (0.8, 0.8), (0.85, 0.3),
                    (0.5, 0)])],
        [("curve", [(0.6, 0), (0.2, 0.3), (0.25, 0.85), (0.55, 1), (0.8, 0.6), (0.7, 0.1),
                    (0.45, 0.02)])],
    ],
    1: [
        [("lines", [(0.5, 0), (0.5, 1)])],
        [("lines", [(0.3, 0.2), (0.52, 0), (0.5, 1)])],
        [("lines", [(0.3, 0.22), (0.5, 0), (0.5, 1)]), ("lines", [(0.25, 1), (0.75, 1)])],
    ],
    2: [
        [("curve", [(0.1, 0.25), (0.3, 0.03), (0.7, 0.04), (0.85, 0.28), (0.6, 0.6), (0.08, 1)]),
         ("lines", [(0.08, 1), (0.92, 0.98)])],
        [("curve", [(0.15, 0.2), (0.4, 0), (0.8, 0.1), (0.75, 0.45), (0.35, 0.85), (0.1, 0.95),
                    (0.15, 0.8), (0.4, 0.85), (0.65, 0.97), (0.95, 0.9)])],
    ],
    3: [
        [("curve", [(0.12, 0.12), (0.45, 0), (0.8, 0.15), (0.72, 0.4), (0.4, 0.48)]),
         ("curve", [(0.4, 0.48), (0.82, 0.6), (0.82, 0.88), (0.45, 1), (0.08, 0.87)])],
        [("lines", [(0.12, 0.02), (0.82, 0.02), (0.42, 0.42)]),
         ("curve", [(0.42, 0.42), (0.82, 0.55), (0.82, 0.87), (0.45, 1), (0.1, 0.88)])],
    ],
    4: [
        [("lines", [(0.28, 0), (0.12, 0.55), (0.92, 0.53)]), ("lines", [(0.7, 0.2), (0.66, 1)])],
        [("lines", [(0.68, 1), (0.68, 0), (0.08, 0.66), (0.95, 0.66)])],
    ],
    5: [
        [("lines", [(0.85, 0.02), (0.22, 0.02), (0.16, 0.44)]),
         ("curve", [(0.16, 0.44), (0.5, 0.37), (0.85, 0.57), (0.78, 0.9), (0.42, 1),
                    (0.08, 0.88)])],
        [("curve", [(0.25, 0.05), (0.18, 0.42), (0.5, 0.4), (0.8, 0.62), (0.65, 0.95),
                    (0.1, 0.95)]),
         ("lines", [(0.25, 0.04), (0.88, 0)])],
    ],
    6: [
        [("curve", [(0.72, 0.02), (0.35, 0.25), (0.12, 0.65), (0.3, 0.97), (0.68, 0.95),
                    (0.8, 0.72),
                    (0.6, 0.52), (0.3, 0.57), (0.15, 0.75)])],
        [("curve", [(0.55, 0), (0.25, 0.4), (0.15, 0.8), (0.45, 1), (0.72, 0.8), (0.5, 0.6),
                    (0.2, 0.75)])],
    ],
    7: [
        [("lines", [(0.08, 0.04), (0.88, 0.02), (0.42, 1)])],
        [("lines", [(0.1, 0.05), (0.88, 0.03), (0.4, 1)]), ("lines", [(0.35, 0.5), (0.82, 0.48)])],
        [("lines", [(0.1, 0.2), (0.12, 0.03), (0.88, 0.03)]),
         ("curve", [(0.88, 0.03), (0.55, 0.5), (0.42, 1)])],
    ],
    8: [
        [("curve", [(0.78, 0.15), (0.5, 0), (0.22, 0.15), (0.32, 0.38), (0.7, 0.6), (0.82, 0.82),
                    (0.5, 1), (0.18, 0.82), (0.32, 0.6), (0.68, 0.38), (0.78, 0.15)])],
        [("curve", [(0.5, 0.46), (0.2, 0.3), (0.3, 0.05), (0.68, 0.04), (0.78, 0.28), (0.5, 0.46),
                    (0.15, 0.68), (0.25, 0.97), (0.75, 0.97), (0.85, 0.7), (0.5, 0.46)])],
    ],
    9: [
        [("curve", [(0.8, 0.25), (0.5, 0.5), (0.18, 0.35), (0.32, 0.06), (0.68, 0.04), (0.8, 0.25),
                    (0.76, 0.6), (0.6, 1)])],
        [("curve", [(0.78, 0.1), (0.4, 0), (0.18, 0.25), (0.4, 0.5), (0.76, 0.28), (0.78, 0.1)]),
         ("lines", [(0.78, 0.08), (0.74, 1)])],
    ],
}
# fmt: on


@dataclass(frozen=True, slots=True)
class DrawnDigit:
    """One photograph of a digit."""

    label: int
    style: str  # a font's name, or "hand"
    jpeg: bytes


def drawn_digits(per_label: int, seed: int = 0) -> Iterator[DrawnDigit]:
    """Draw `per_label` photographs of each of the ten digits."""
    generator = np.random.default_rng(seed)
    for label in range(10):
        for number in range(per_label):
            style = FONTS[number // 2 % len(FONTS)] if number % 2 else "hand"
            ink = (
                _written(label, generator) if style == "hand" else _printed(label, style, generator)
            )
            yield DrawnDigit(label, style, _photographed(_placed(ink, generator), generator))


def _written(label: int, generator: np.random.Generator) -> Image.Image:
    ways = HANDS[label]
    image = Image.new("L", (GLYPH, GLYPH))
    pen = ImageDraw.Draw(image)
    radius = generator.uniform(3, 9)
    proportions = np.array([generator.uniform(0.4, 0.7), 0.8]) * GLYPH
    for kind, points in ways[generator.integers(len(ways))]:
        shaken = np.array(points) + generator.normal(0, 0.018, (len(points), 2))
        path = _rounded(shaken) if kind == "curve" else shaken
        path = (path - 0.5) * proportions + GLYPH / 2
        pen.line([tuple(point) for point in path], 255, round(2 * radius), joint="curve")
        for x, y in (path[0], path[-1]):  # round ends
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return image


def _rounded(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Catmull-Rom spline through (N, 2) `points`."""
    padded = np.concatenate([points[:1], points, points[-1:]])
    t = np.linspace(0, 1, 20)[:, None]
    spans = zip(padded, padded[1:], padded[2:], padded[3:], strict=False)
    return np.concatenate(
        [
            b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
            for a, b, c, d in spans
        ]
    )


def _printed(label: int, font_name: str, generator: np.random.Generator) -> Image.Image:
    image = Image.new("L", (GLYPH, GLYPH))
    bold = int(generator.integers(0, 4))  # pixels added to either side of every stroke
    ImageDraw.Draw(image).text(
        (GLYPH / 2, GLYPH / 2), str(label), 255, _font(font_name), "mm", stroke_width=bold
    )
    return image


def _font(name: str) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if name == "Aileron":
        return ImageFont.load_default(0.8 * GLYPH)
    return ImageFont.truetype(Path(get_data_path(), "fonts", "ttf", f"{name}.ttf"), 0.8 * GLYPH)


def _placed(ink: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Turn, slant and scale the glyph, somewhere on the canvas but never beyond its edge."""
    angle, slant = np.radians(generator.uniform(-8, 8)), generator.uniform(-0.15, 0.15)
    scale = generator.uniform(0.5, 1.3)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    inverse = np.array([[1, slant], [0, 1]]) @ turn / scale
    room = (CANVAS - GLYPH * scale) / 2
    centre = CANVAS / 2 + generator.uniform(-room, room, 2)
    offset = GLYPH / 2 - inverse @ centre
    matrix = (*inverse[0], offset[0], *inverse[1], offset[1])
    return ink.transform(
        (CANVAS, CANVAS), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )


def _photographed(ink: Image.Image, generator: np.random.Generator) -> bytes:
    soft = ink.filter(ImageFilter.GaussianBlur(generator.uniform(0.4, 1.6)))
    coverage = np.asarray(soft, np.float64) / 255
    slope_y, slope_x = generator.uniform(-0.12, 0.12, 2)
    y, x = np.mgrid[-1 : 1 : CANVAS * 1j, -1 : 1 : CANVAS * 1j]
    paper = generator.uniform(185, 235) * (1 + slope_y * y + slope_x * x)
    light = paper * (1 - coverage * generator.uniform(0.6, 0.92))
    grey = light + generator.normal(0, generator.uniform(1, 4), light.shape)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).save(
        buffer, "JPEG", quality=int(generator.integers(60, 95))
    )
    return buffer.getvalue()


def write_folder(folder: Path, per_label: int, seed: int = 0) -> None:
    """Write the drawings as `folder/<label>/<number>-<style>.jpg`."""
    for number, digit in enumerate(drawn_digits(per_label, seed)):
        path = folder / str(digit.label) / f"{number:04d}-{digit.style}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(digit.jpeg)


if __name__ == "__main__":
    write_folder(Path(sys.argv[1]), per_label=100)
