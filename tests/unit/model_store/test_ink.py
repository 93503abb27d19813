"""Characters, drawn and as a camera sees them, against the same characters drawn cleanly."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from model_store.pixels.ink import is_ink_form, normalize_ink
from model_store.pixels.preprocessing import encode_png, preprocess
from model_store.spec import ImageSpec, InkNormalization

SPEC = ImageSpec.for_size(28, 28, InkNormalization(box=20))
SIDE = 240
DATA = Path(os.environ.get("HALFTONE_DATA", Path(__file__).parents[4] / "shared" / "data"))
ACROSS, DOWN = np.meshgrid(np.linspace(-1, 1, SIDE), np.linspace(-1, 1, SIDE))

Scene = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def ink(text: str, size: int = 130, at: tuple[int, int] = (120, 120), pen: int = 0) -> np.ndarray:
    """Coverage, 0 to 1, of a character in a square of 240 pixels."""
    image = Image.new("L", (SIDE, SIDE))
    font = ImageFont.load_default(size)
    ImageDraw.Draw(image).text(at, text, 255, font, "mm", stroke_width=pen)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(0.8))) / 255


def cleanly(coverage: np.ndarray) -> np.ndarray:
    return normalize_ink((255 * coverage).astype(np.uint8), SPEC)


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference, the smallest over shifts of a pixel."""
    shifts = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    moved = (np.roll(first, shift, (0, 1)).astype(int) for shift in shifts)
    return min(float(np.abs(candidate - second).mean()) for candidate in moved)


def on(paper: np.ndarray, coverage: np.ndarray, depth: float = 0.75) -> np.ndarray:
    return paper * (1 - depth * coverage)


def desk_at_the_left(coverage: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return np.where(ACROSS + 0.05 * DOWN < -0.85, 60, on(215 + 10 * ACROSS, coverage))


def card_on_a_desk(coverage: np.ndarray, _: np.random.Generator) -> np.ndarray:
    sheet = (np.abs(ACROSS) < 0.88) & (np.abs(DOWN) < 0.9)
    return np.where(sheet, on(215 + 10 * ACROSS, coverage), 55)


def ruled(coverage: np.ndarray, _: np.random.Generator) -> np.ndarray:
    paper = 220 + 12 * ACROSS
    paper[::27] *= 0.82
    return on(paper, coverage)


def dusty(coverage: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    light = on(210 + 0 * ACROSS, coverage)
    for row, column in generator.integers(4, SIDE - 4, (12, 2)):
        light[row : row + 2, column : column + 2] = 60
    return light


SCENES: dict[str, tuple[Scene, float]] = {  # how the light falls, and the noise of the camera
    "even light": (lambda c, _: on(220 + 0 * ACROSS, c), 3),
    "light from one side": (lambda c, _: on(160 * (1 + 0.4 * ACROSS - 0.2 * DOWN), c), 3),
    "dark corners": (lambda c, _: on(220 * (1 - 0.3 * (ACROSS**2 + DOWN**2)), c), 3),
    "shadow with a sharp edge": (
        lambda c, _: on(220 * (1 - 0.45 * (ACROSS + DOWN / 2 > 0.1)), c),
        3,
    ),
    "shadow with a soft edge": (lambda c, _: on(220 - 100 / (1 + np.exp(-10 * ACROSS)), c), 3),
    "dim room": (lambda c, _: on(75 * (1 + 0.15 * ACROSS), c), 4),
    "noisy camera": (lambda c, _: on(200 * (1 + 0.1 * DOWN), c), 14),
    "hard pencil": (lambda c, _: on(210 * (1 + 0.08 * ACROSS), c, 0.2), 3),
    "chalk on a board": (lambda c, _: 50 * (1 + 0.2 * ACROSS) + 130 * c, 4),
    "ruled paper": (ruled, 3),
    "dust": (dusty, 3),
    "desk at the left": (desk_at_the_left, 3),
    "card on a desk": (card_on_a_desk, 2),
}


def photograph(name: str, coverage: np.ndarray, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    scene, noise = SCENES[name]
    light = scene(coverage, generator) + generator.normal(0, noise, coverage.shape)
    return np.clip(light, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("text", ["0", "4", "5", "8"])
def test_photograph_gives_what_a_clean_drawing_gives(name, text):
    coverage = ink(text, size=120, at=(130, 112), pen=1)
    assert difference(normalize_ink(photograph(name, coverage), SPEC), cleanly(coverage)) < 10


@pytest.mark.parametrize("text", ["0", "2", "8"])
@pytest.mark.parametrize("pen", [0, 3, 6])
def test_bold_character_cut_tightly(text, pen):
    coverage = ink(text, pen=pen)
    rows, columns = np.flatnonzero(coverage.any(1)), np.flatnonzero(coverage.any(0))
    cut = photograph("light from one side", coverage)
    cut = cut[rows[0] - 3 : rows[-1] + 4, columns[0] - 3 : columns[-1] + 4]
    assert difference(normalize_ink(cut, SPEC), cleanly(coverage)) < 14


# The others show edges, which may pass for ink where there is none.
@pytest.mark.parametrize(
    "name",
    [
        "even light",
        "light from one side",
        "dark corners",
        "shadow with a soft edge",
        "dim room",
        "noisy camera",
        "hard pencil",
        "chalk on a board",
    ],
)
def test_empty_sheet_gives_black(name):
    assert not normalize_ink(photograph(name, np.zeros((SIDE, SIDE))), SPEC).any()


@pytest.mark.parametrize("size", [60, 90, 150, 200])
@pytest.mark.parametrize("at", [(90, 110), (120, 120), (140, 130)])
def test_size_and_place_do_not_matter(size, at):
    pixels = cleanly(ink("3", size, at))
    assert difference(pixels, cleanly(ink("3", 180))) < 13


@pytest.mark.parametrize("name", SCENES)
def test_result_is_bright_ink_on_black_in_the_box_centred_by_mass(name):
    pixels = normalize_ink(photograph(name, ink("5")), SPEC)
    assert pixels.shape == (28, 28)
    assert pixels.dtype == np.uint8
    assert np.median(pixels) == 0
    assert pixels.max() >= 230
    strong = pixels > 127
    sides = [np.ptp(np.flatnonzero(strong.any(axis))) + 1 for axis in (0, 1)]
    assert max(sides) in (19, 20, 21)
    mass = pixels / pixels.sum()
    assert abs((mass.sum(1) * np.arange(28)).sum() - 14) <= 0.51
    assert abs((mass.sum(0) * np.arange(28)).sum() - 14) <= 0.51


@pytest.mark.parametrize("name", SCENES)
def test_normalising_twice_changes_nothing(name):
    once = normalize_ink(photograph(name, ink("2")), SPEC)
    assert np.array_equal(normalize_ink(once, SPEC), once)


def test_polarity_of_a_drawing_does_not_matter():
    gray = (255 * ink("7")).astype(np.uint8)
    assert np.array_equal(normalize_ink(gray, SPEC), normalize_ink(255 - gray, SPEC))


def test_hairline_stays_bright():
    image = Image.new("L", (400, 400), 255)
    ImageDraw.Draw(image).line([(90, 60), (300, 80), (180, 350)], fill=0, width=2)
    pixels = normalize_ink(np.asarray(image), SPEC)
    assert pixels.max() >= 230
    assert np.count_nonzero(pixels > 100) >= 20


@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (3, 400), (300, 200)])
def test_one_level_gives_black(level, shape):
    assert not normalize_ink(np.full(shape, level, np.uint8), SPEC).any()


@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_any_pixels_give_an_image(gray):
    pixels = normalize_ink(gray, SPEC)
    assert pixels.shape == (28, 28)
    assert pixels.dtype == np.uint8


def test_ink_that_does_not_fit_is_cut_not_an_error():
    spec = ImageSpec.for_size(12, 8, InkNormalization(box=30))
    assert normalize_ink((255 * ink("8")).astype(np.uint8), spec).shape == (12, 8)


def test_spec_without_ink_is_a_mistake():
    with pytest.raises(ValueError, match="Received: ink is None"):
        normalize_ink(np.zeros((9, 9), np.uint8), ImageSpec.for_size(9, 9))


@pytest.mark.parametrize("side", [240, 2400])
def test_preprocess_applies_it_at_any_resolution(side):
    coverage = ink("6")
    photo = Image.fromarray(photograph("dark corners", coverage)).resize((side, side))
    pixels = preprocess(encode_png(np.asarray(photo)), SPEC)
    assert difference(pixels, cleanly(coverage)) < 10


def test_normalised_images_are_recognised_as_such():
    images = np.stack([cleanly(ink(text, pen=pen)) for text in "0123456789" for pen in range(4)])
    assert is_ink_form(images) == SPEC.ink


def textures() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    smooth = generator.integers(0, 256, (60, 7, 7), dtype=np.uint8)
    photos = [np.asarray(Image.fromarray(image).resize((28, 28), 2)) for image in smooth]
    ramp = np.broadcast_to(np.linspace(0, 255, 28), (60, 28, 28)).astype(np.uint8)
    return {
        "noise": generator.integers(0, 256, (60, 28, 28), dtype=np.uint8),
        "sparse noise": generator.integers(0, 256, (60, 28, 28), dtype=np.uint8)
        * (generator.random((60, 28, 28)) < 0.1).astype(np.uint8),
        "photographs": np.stack(photos),
        "gradients": ramp,
        "black": np.zeros((60, 28, 28), np.uint8),
        "white": np.full((60, 28, 28), 255, np.uint8),
        "digits that fill their image": generator.integers(0, 17, (60, 8, 8), dtype=np.uint8) * 15,
        "uncentred digits": np.stack(
            [np.roll(cleanly(ink("5")), int(shift), 1) for shift in generator.integers(-4, 5, 60)]
        ),
        "dark on white": 255 - np.stack([cleanly(ink(text)) for text in "0123456789"] * 6),
    }


@pytest.mark.parametrize("name", textures())
def test_other_images_are_not_taken_for_ink_form(name):
    assert is_ink_form(textures()[name]) is None


@pytest.fixture(scope="module")
def mnist() -> np.ndarray:
    path = DATA / "mnist.npz"
    if not path.is_file():
        pytest.skip(f"{path} is not there; HALFTONE_DATA names the folder that holds it")
    with np.load(path, allow_pickle=False) as data:
        return np.asarray(data["x_test"][:2000])


def test_mnist_has_ink_form(mnist):
    assert is_ink_form(mnist) == InkNormalization(box=20)


def test_mnists_images_come_back_unchanged_upright_or_inverted_or_shifted(mnist):
    same = [np.array_equal(normalize_ink(image, SPEC), image) for image in mnist]
    assert np.mean(same) >= 0.999
    inverted = [np.array_equal(normalize_ink(255 - image, SPEC), image) for image in mnist]
    assert np.mean(inverted) >= 0.999
    framed = [np.pad(image, ((9, 3), (2, 8))) for image in mnist]
    moved = [
        np.array_equal(normalize_ink(large, SPEC), image)
        for large, image in zip(framed, mnist, strict=True)
    ]
    assert np.mean(moved) >= 0.999
