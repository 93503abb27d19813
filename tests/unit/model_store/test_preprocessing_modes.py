"""Every pixel layout that the accepted formats can hold, against values computed with NumPy."""

from collections.abc import Callable

import numpy as np
import pytest
from handmade_images import (
    GRAY_ALPHA,
    INDEXED,
    TRUECOLOR,
    TRUECOLOR_ALPHA,
    bmp,
    bmp_rows,
    gif,
    luma,
    over,
    png,
)
from pictures import encoded
from PIL import Image

from model_store.errors import TooManyPixels, UndecodableImage
from model_store.pixels.decoding import largest_16_bit_sample
from model_store.pixels.grayscale import UnsupportedMode, to_grayscale
from model_store.pixels.preprocessing import preprocess
from model_store.spec import ImageSpec

H, W = 11, 13
SPEC = ImageSpec.for_size(H, W)
RNG = np.random.default_rng(20)


def samples(top: int, channels: int = 0) -> np.ndarray:
    shape = (H, W, channels) if channels else (H, W)
    return RNG.integers(0, top + 1, shape)


def assert_pixels(data: bytes, expected: np.ndarray, tolerance: float = 1.0) -> None:
    difference = np.abs(preprocess(data, SPEC).astype(float) - expected)
    assert difference.max() <= tolerance


def noise() -> np.ndarray:
    return samples(255, 3).astype(np.uint8)


def smooth() -> np.ndarray:
    across, down = np.meshgrid(np.linspace(0, 255, W), np.linspace(0, 255, H))
    return np.stack([across, down, 255 - across], axis=-1).astype(np.uint8)


def bmp_of(rgb: np.ndarray, bits: int) -> bytes:
    bgrx = np.concatenate([rgb[..., ::-1], np.zeros((H, W, 1), np.uint8)], axis=-1)
    return bmp(W, H, bits, bmp_rows(row.tobytes() for row in bgrx[..., : bits // 8]))


Encode = Callable[[np.ndarray], bytes]
LOSSLESS: dict[str, Encode] = {
    "PNG": lambda rgb: png(rgb, 8, TRUECOLOR),
    "interlaced PNG": lambda rgb: png(rgb, 8, TRUECOLOR, interlace=True),
    "PNG of 16 bits": lambda rgb: png(rgb.astype(int) * 257, 16, TRUECOLOR),
    "bitmap of 24 bits": lambda rgb: bmp_of(rgb, 24),
    "bitmap of 32 bits": lambda rgb: bmp_of(rgb, 32),
    "lossless WebP": lambda rgb: encoded(Image.fromarray(rgb), "WEBP", lossless=True),
}
LOSSY: dict[str, dict[str, object]] = {
    "JPEG": {"subsampling": 0},
    "JPEG, 4:2:0": {"subsampling": 2},
    "progressive JPEG": {"progressive": True},
    "JPEG without a color transform": {"keep_rgb": True},
}


@pytest.mark.parametrize("encode", LOSSLESS.values(), ids=LOSSLESS)
def test_colors_become_their_luma(encode):
    rgb = noise()
    assert_pixels(encode(rgb), luma(rgb))


@pytest.mark.parametrize("options", LOSSY.values(), ids=LOSSY)
def test_colors_of_a_jpeg_become_about_their_luma(options):
    data = encoded(Image.fromarray(smooth()), "JPEG", quality=100, **options)
    assert_pixels(data, luma(smooth()), tolerance=5)


def test_cmyk_jpeg_is_read_as_adobe_writes_it():
    cmyk = np.broadcast_to(np.array([30, 120, 200, 50], np.uint8), (H, W, 4))
    ink, black = cmyk[..., :3] / 255, cmyk[..., 3:] / 255
    expected = luma(255 * (1 - ink) * (1 - black))
    data = encoded(Image.frombytes("CMYK", (W, H), cmyk.tobytes()), "JPEG", quality=100)
    assert_pixels(data, expected, tolerance=3)


def gif_of(colors: np.ndarray, indices: np.ndarray) -> bytes:
    return gif(indices, colors.astype(np.uint8).tobytes(), transparent=7)


def png_of(colors: np.ndarray, indices: np.ndarray) -> bytes:
    palette, trns = colors.astype(np.uint8).tobytes(), b"\xff" * 7 + b"\0"
    return png(indices, 8, INDEXED, palette=palette, trns=trns)


@pytest.mark.parametrize("encode", [gif_of, png_of])
@pytest.mark.parametrize("gray_palette", [False, True])
def test_palettes_hold_colors_and_one_that_shows_the_background(encode, gray_palette):
    colors = RNG.integers(0, 256, (256, 1 if gray_palette else 3)).repeat(1 + 2 * gray_palette, 1)
    indices = samples(255)
    indices[2, 2] = 7
    expected = np.where(indices == 7, 255, luma(colors)[indices])
    assert_pixels(encode(colors, indices), expected)


def test_palette_of_a_bitmap():
    colors, values = RNG.integers(0, 256, (256, 3)), RNG.integers(0, 256, H)
    runs = b"".join(bytes([W, value, 0, 0]) for value in values[::-1].tolist()) + b"\x00\x01"
    palette = [tuple(color) for color in colors.tolist()]
    data = bmp(W, H, 8, runs, palette=palette, compression=1)
    assert_pixels(data, luma(colors)[values][:, None].repeat(W, 1))


@pytest.mark.parametrize("interlace", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_gray_png_is_scaled_to_the_full_range(depth, interlace):
    gray = samples(2**depth - 1)
    expected = np.rint(gray * 255 / (2**depth - 1))
    assert_pixels(png(gray, depth, interlace=interlace), expected, tolerance=0)


@pytest.mark.parametrize("white", [1, 255, 1000, 4095, 16383, 65534, 65535])
def test_white_of_16_bit_samples_is_what_the_spec_says(white):
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    spec = ImageSpec.for_size(256, 256, depth16_max=white)
    exact = np.floor(np.minimum(every, white) * 255.0 / white + 0.5)
    assert np.array_equal(preprocess(png(every, 16), spec), exact)
    eight = (every % 256).astype(np.uint8)
    assert np.array_equal(preprocess(png(eight, 8), spec), eight)


@pytest.mark.parametrize("kind", [GRAY_ALPHA, TRUECOLOR, TRUECOLOR_ALPHA])
def test_white_of_16_bit_samples_says_nothing_of_colours_and_alpha(kind):
    values = samples(65535, {GRAY_ALPHA: 2, TRUECOLOR: 3, TRUECOLOR_ALPHA: 4}[kind])
    spec = SPEC.model_copy(update={"depth16_max": 4095})
    assert np.array_equal(
        preprocess(png(values, 16, kind), spec), preprocess(png(values, 16, kind), SPEC)
    )


def test_largest_16_bit_sample_is_told_of_deep_gray_images_only():
    deep = np.full((3, 4), 7, np.uint16)
    deep[1, 2] = 3987
    assert largest_16_bit_sample(png(deep, 16), 12) == 3987
    assert largest_16_bit_sample(png(deep.astype(np.uint8), 8), 12) is None
    with pytest.raises(TooManyPixels):
        largest_16_bit_sample(png(deep, 16), 11)
    with pytest.raises(UndecodableImage):
        largest_16_bit_sample(png(deep, 16)[:50], 12)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("kind", [GRAY_ALPHA, TRUECOLOR_ALPHA])
def test_alpha_shows_the_background(depth, kind):
    values = samples(2**depth - 1, 2 if kind == GRAY_ALPHA else 4)
    eight = values / (257 if depth == 16 else 1)
    gray = eight[..., 0] if kind == GRAY_ALPHA else luma(eight[..., :3])
    # Of 16-bit colours Pillow keeps the upper byte: up to a level less, of the alpha too.
    assert_pixels(png(values, depth, kind), over(gray, eight[..., -1]), tolerance=2.5)


@pytest.mark.parametrize("background", [0, 99, 255])
def test_background_is_the_specs(background):
    spec = SPEC.model_copy(update={"alpha_background": background})
    data = png(np.zeros((H, W, 2), int), 8, GRAY_ALPHA)
    assert (preprocess(data, spec) == background).all()


@pytest.mark.parametrize(
    ("masks", "shifts"),
    [((), (10, 5, 0)), ((0x7C00, 0x3E0, 0x1F), (10, 5, 0)), ((0xF800, 0x7E0, 0x1F), (11, 5, 0))],
)
def test_16_bit_bmp(masks, shifts):
    rgb = samples(31, 3)
    wide_green = 1 if shifts[0] == 11 else 0
    packed = sum(
        (rgb[..., i] << (wide_green if i == 1 else 0)) << shift for i, shift in enumerate(shifts)
    )
    pixels = bmp_rows(row.astype("<u2").tobytes() for row in packed)
    data = bmp(W, H, 16, pixels, masks=masks, compression=3 if masks else 0)
    assert_pixels(data, luma(rgb * 255 / 31), tolerance=4)


def test_bmp_with_an_alpha_mask_shows_the_background():
    rgba = samples(255, 4).astype(np.uint8)
    bgra = rgba[..., [2, 1, 0, 3]]
    pixels = bmp_rows(row.tobytes() for row in bgra)
    info = bytearray(bmp(W, H, 32, pixels))
    # A 56-byte header has room for the fourth mask.
    masks = b"".join(mask.to_bytes(4, "little") for mask in (0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    info[14:18], info[10:14] = (56).to_bytes(4, "little"), (70).to_bytes(4, "little")
    info[30:34] = (3).to_bytes(4, "little")
    data = bytes(info[:54]) + masks + bytes(info[54:])
    assert_pixels(data, over(luma(rgba[..., :3]), rgba[..., 3]), tolerance=2)


def _image(mode: str, *channels: int) -> Image.Image:
    return Image.new(mode, (2, 2), channels if len(channels) > 1 else channels[0])


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (_image("1", 255), 255),
        (_image("L", 7), 7),
        (_image("LA", 100, 51), 224),
        (_image("RGB", 200, 100, 50), 124),
        (_image("RGBX", 200, 100, 50, 0), 124),
        (_image("RGBA", 200, 100, 50, 0), 255),
        (_image("RGBA", 200, 100, 50, 255).convert("RGBa"), 124),
        (_image("CMYK", 55, 155, 205, 0), 124),
        (_image("YCbCr", 124, 20, 250), 124),
        (_image("I", 25700), 100),
        (_image("I", -5), 0),
        (_image("I", 10**6), 255),
        (_image("I;16", 25700), 100),
        (_image("I;16L", 25700), 100),
        (_image("I;16B", 25700), 100),
        (_image("P", 0).convert("PA"), 0),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else None,
)
def test_mode_becomes_luma_over_white(image, expected):
    gray = np.asarray(to_grayscale(image, 255))
    assert gray.dtype == np.uint8
    assert np.abs(gray.astype(int) - expected).max() <= 1


def test_a_mode_that_nobody_decided_is_refused():
    with pytest.raises(UnsupportedMode, match="Received: F"):
        to_grayscale(_image("F", 1), 255)
