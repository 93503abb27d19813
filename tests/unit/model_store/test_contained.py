"""AVIF, HEIC and TIFF, whose decoders work in a process of their own."""

import struct

import numpy as np
import pytest
from heic_files import HEIC
from odd_files import QUARTERS, SIDE, colors, grays, measured, quarters
from pictures import encoded
from PIL import Image

from model_store.errors import TooManyPixels, UndecodableImage, UnsupportedFormat
from model_store.pixels import contained
from model_store.pixels.preprocessing import preprocess, preprocess_with_source
from model_store.spec import ImageSpec

SPEC = ImageSpec.for_size(SIDE, SIDE)
GRAYS, COLORS = Image.fromarray(grays()), Image.fromarray(colors())
OPAQUE = quarters((255, 170, 85, 0), np.uint8)
FADING = Image.fromarray(np.dstack([np.zeros((SIDE, SIDE, 3), np.uint8), OPAQUE]))
DEEP = Image.fromarray(grays().astype(np.uint16) * 257)


def turned(image: Image.Image, kind: str, **options: object) -> bytes:
    """An image that lies on its side, and says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image.transpose(Image.Transpose.ROTATE_90), kind, exif=exif, **options)


FINE: dict[str, bytes] = {
    **{f"HEIC {name}": data for name, data in HEIC.items() if name != "alpha"},
    "AVIF gray": encoded(GRAYS, "AVIF", quality=95),
    "AVIF color": encoded(COLORS, "AVIF", quality=95),
    "AVIF 4:4:4": encoded(COLORS, "AVIF", quality=95, subsampling="4:4:4"),
    "AVIF turned": turned(COLORS, "AVIF", quality=95),
    "AVIF frames": encoded(
        COLORS, "AVIF", quality=95, save_all=True, append_images=[Image.new("RGB", (SIDE, SIDE))]
    ),
    "TIFF gray": encoded(GRAYS, "TIFF"),
    "TIFF color": encoded(COLORS, "TIFF"),
    "TIFF 16 bits": encoded(DEEP, "TIFF"),
    "TIFF 16 bits, LZW": encoded(DEEP, "TIFF", compression="tiff_lzw"),
    "TIFF deflate": encoded(COLORS, "TIFF", compression="tiff_adobe_deflate"),
    "TIFF packed bits": encoded(GRAYS, "TIFF", compression="packbits"),
    "TIFF of the other byte order": encoded(DEEP, "TIFF", big_endian=True),
    "BigTIFF": encoded(COLORS, "TIFF", big_tiff=True),
    "TIFF turned": turned(COLORS, "TIFF"),
    "TIFF turned, LZW": turned(COLORS, "TIFF", compression="tiff_lzw"),
}
TRANSPARENT = {
    "HEIC": HEIC["alpha"],
    "AVIF": encoded(FADING, "AVIF", quality=95),
    "TIFF": encoded(FADING, "TIFF"),
}


@pytest.mark.parametrize("data", FINE.values(), ids=FINE)
def test_files_show_their_quarters_upright_and_the_same_each_time(data):
    pixels = preprocess(data, SPEC)

    assert measured(pixels) == pytest.approx(QUARTERS, abs=2)
    assert np.array_equal(preprocess(data, SPEC), pixels)


@pytest.mark.parametrize("data", TRANSPARENT.values(), ids=TRANSPARENT)
@pytest.mark.parametrize("background", [255, 0])
def test_transparent_parts_show_the_background(data, background):
    spec = SPEC.model_copy(update={"alpha_background": background})
    shown = (0, background // 3, background * 2 // 3, background)

    assert measured(preprocess(data, spec)) == pytest.approx(shown, abs=2)


def test_the_header_is_told():
    _, source = preprocess_with_source(HEIC["color"], SPEC)

    assert (source.format, source.mode, source.width, source.height) == ("HEIC", "RGB", 32, 32)


ODD_TIFFS = {
    "two pages": encoded(GRAYS, "TIFF", save_all=True, append_images=[GRAYS]),
    "bilevel": encoded(GRAYS.convert("1"), "TIFF"),
    "palette": encoded(COLORS.convert("P"), "TIFF"),
    "four inks": encoded(COLORS.convert("CMYK"), "TIFF"),
    "floating point": encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"),
}


@pytest.mark.parametrize("data", ODD_TIFFS.values(), ids=ODD_TIFFS)
def test_tiffs_of_other_kinds_are_refused_with_what_is_expected(data):
    with pytest.raises(UndecodableImage, match="Expected a TIFF of one page, in gray, RGB or RGBA"):
        preprocess(data, SPEC)


ONE_OF_EACH = {"HEIC": HEIC["color"], "AVIF": FINE["AVIF color"], "TIFF": FINE["TIFF deflate"]}
one_of_each = pytest.mark.parametrize("data", ONE_OF_EACH.values(), ids=ONE_OF_EACH)


@one_of_each
def test_models_made_before_go_on_refusing_them(data):
    before = SPEC.model_copy(update={"formats": ("JPEG", "PNG", "WEBP", "BMP", "GIF")})

    with pytest.raises(UnsupportedFormat, match="Expected one of JPEG, PNG, WEBP, BMP, GIF. Rec"):
        preprocess(data, before)


@one_of_each
def test_too_many_pixels_are_refused_by_the_header(data):
    with pytest.raises(TooManyPixels, match="at most 1023 pixels. Received: a .* 32 x 32"):
        preprocess(data, SPEC, max_pixels=1023)
    preprocess(data, SPEC, max_pixels=1024)


def test_a_picture_that_is_larger_than_its_header_says_is_not_given_the_memory():
    large = encoded(Image.new("L", (8192, 8192)), "AVIF", quality=10, speed=10)
    at = large.index(b"ispe") + 8
    lying = large[:at] + struct.pack(">II", 10, 10) + large[at + 8 :]

    with pytest.raises(UndecodableImage):
        preprocess(lying, SPEC)


@pytest.mark.parametrize(
    "program",
    [
        "import os; os.abort()",
        "print('{')",
        "pass",
        'print(\'{"width": 4, "height": 4, "mode": "L", "orientation": 1, "pages": 1}\')',
    ],
    ids=["crash", "nonsense", "nothing", "no samples"],
)
def test_a_decoder_that_ends_otherwise_means_a_broken_file(program, tmp_path, monkeypatch):
    (tmp_path / "decoder.py").write_text(program)
    monkeypatch.setattr(contained, "_PROGRAM", tmp_path / "decoder.py")

    with pytest.raises(UndecodableImage, match="cut short or broken"):
        preprocess(HEIC["color"], SPEC)


def test_a_missing_decoder_is_named(monkeypatch):
    monkeypatch.setattr(contained, "find_spec", lambda _: None)

    with pytest.raises(UnsupportedFormat, match="HEIC, whose decoder, pi-heif, is not installed"):
        preprocess(HEIC["color"], SPEC)
    assert preprocess(FINE["AVIF color"], SPEC).any()
