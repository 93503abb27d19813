"""Digits drawn by script, as people print and then photograph them.

They are set in fonts that Pillow and matplotlib bring along, in dark ink on pale, unevenly lit,
noisy paper, off centre, of many sizes and weights, and stored as JPEG.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from pictures import encoded
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


def drawn_digits(per_label: int) -> Iterator[tuple[int, bytes]]:
    """Draw `per_label` photographs of each of the ten digits: the digit, and a JPEG of it."""
    generator = np.random.default_rng(0)
    for label in range(10):
        for number in range(per_label):
            ink = _printed(label, FONTS[number % len(FONTS)], generator)
            yield label, _photographed(_placed(ink, generator), generator)


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
    photograph = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    return encoded(photograph, "JPEG", quality=int(generator.integers(60, 95)))
