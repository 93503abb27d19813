"""Which size suits a folder, and what another one would do to its pictures."""

import numpy as np
import pytest
from data_sets import look
from PIL import Image

from model_store.spec import ImageSpec
from training.data.cache import PixelCache
from training.data.findings_text import describe
from training.data.size import look_at_size


@pytest.mark.parametrize(
    ("sizes", "suits"),
    [
        ([(28, 28)] * 5, (28, 28)),
        ([(960, 480)] * 5, (960, 480)),
        ([(3000, 4000)] * 9 + [(10, 10)], (576, 768)),
        ([(4000, 3000)] * 9, (768, 576)),
        ([(100, 200), (110, 190), (90, 210), (105, 195)], (100, 200)),
    ],
)
def test_the_suggested_size_keeps_the_shape_and_is_no_larger_than_the_default(sizes, suits):
    size = look_at_size(sizes, 960, 480)

    assert (size.height, size.width) == pytest.approx(suits, rel=0.05)
    assert size.height * size.width <= 960 * 480


SQUEEZED = (
    "960 high and 480 wide squeezes the typical image, 4000 x 3000 (width x height), to 38% of its "
    "width; --height 576 --width 768 keeps its shape."
)
DIFFER = (
    "The shapes differ: width over height goes from 1 to 3, and all are stretched to one. "
    "Crop them alike where you can."
)


def test_no_pictures_have_no_size_that_suits():
    assert look_at_size([], 960, 480) is None


@pytest.mark.parametrize(
    ("sizes", "asked", "warnings"),
    [
        ([(3000, 4000)] * 20, (960, 480), [SQUEEZED]),
        ([(120, 160)] * 20, (60, 80), []),  # of the same shape
        ([(100, 100)] * 10 + [(100, 300)] * 4, (100, 100), [DIFFER]),
    ],
)
def test_what_a_size_does_to_pictures_is_said(sizes, asked, warnings):
    assert look_at_size(sizes, *asked).warnings(*asked) == warnings


def test_check_sees_photographs_as_they_are_looked_at(tmp_path):
    """A telephone stores a picture of 3:4 as one of 4:3 that is to be turned."""
    for label in ("a", "b"):
        for number in range(20):
            noise = np.random.default_rng(number).integers(0, 255, (30, 40), np.uint8)
            exif = Image.Exif()
            exif[0x0112] = 6
            path = tmp_path / "images" / label / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise).save(path, exif=exif)
    cache = PixelCache(tmp_path / "cache", ImageSpec.for_size(40, 30))
    findings = look(tmp_path / "images", cache)

    assert findings.sizes == {"30 x 40": 40}
    assert "a size that suits them: --height 40 --width 30" in describe(findings)
    assert not any("squeezes" in warning for warning in findings.warnings())
