import numpy as np
import pytest
from PIL import Image, ImageDraw

from model_store.ink import is_ink_form, normalize_ink
from model_store.preprocessing import encode_png, preprocess
from model_store.spec import ImageSpec, InkNormalization

SPEC = ImageSpec.for_size(28, 28, InkNormalization(box=20))


def drawn(side: int = 200, width: int = 24, ink: int = 0, paper: int = 255) -> np.ndarray:
    image = Image.new("L", (side, side), paper)
    points = [(60, 40), (140, 50), (90, 110), (80, 170)]
    ImageDraw.Draw(image).line(points, fill=ink, width=width, joint="curve")
    return np.asarray(image)


def ink_sides(pixels: np.ndarray) -> tuple[int, int]:
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    return rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1


def test_result_is_bright_ink_on_black_in_the_box_centred_by_mass():
    pixels = normalize_ink(drawn(), SPEC)
    assert pixels.shape == (28, 28)
    assert pixels.dtype == np.uint8
    assert np.median(pixels) == 0
    assert pixels.max() >= 230
    assert max(ink_sides(pixels)) in (19, 20, 21)
    mass = pixels / pixels.sum()
    assert abs((mass.sum(1) * np.arange(28)).sum() - 14) <= 0.5
    assert abs((mass.sum(0) * np.arange(28)).sum() - 14) <= 0.5


def test_polarity_does_not_matter():
    assert np.array_equal(normalize_ink(drawn(), SPEC), normalize_ink(255 - drawn(), SPEC))


def test_normalising_twice_changes_nothing():
    once = normalize_ink(drawn(), SPEC)
    assert np.array_equal(normalize_ink(once, SPEC), once)


@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (3, 400), (300, 200)])
def test_blank_paper_gives_black(level, shape):
    assert not normalize_ink(np.full(shape, level, np.uint8), SPEC).any()


def test_preprocess_applies_it():
    assert np.array_equal(preprocess(encode_png(drawn()), SPEC), normalize_ink(drawn(), SPEC))


def test_normalised_images_are_recognised_as_such():
    images = np.stack([normalize_ink(drawn(width=width), SPEC) for width in range(8, 40)])
    assert is_ink_form(images) == SPEC.ink


def test_noise_is_not_taken_for_ink_form():
    noise = np.random.default_rng(0).integers(0, 256, (50, 28, 28), dtype=np.uint8)
    assert is_ink_form(noise) is None
