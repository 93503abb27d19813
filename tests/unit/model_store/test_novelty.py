import numpy as np
import pytest
from numpy.typing import NDArray

from model_store.manifest import Usual
from model_store.pixels.novelty import Novelty, cell_means, describe_usual

H, W = 96, 48


def photo(seed: int) -> NDArray[np.uint8]:
    """A bright disc on a dark ground, a little elsewhere each time, with noise."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:H, :W]
    top, left = H / 2 + random.normal(0, 3), W / 2 + random.normal(0, 2)
    disc = (rows - top) ** 2 / 4 + (columns - left) ** 2 < 15**2
    return np.clip(60 + 120 * disc + random.normal(0, 8, (H, W)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def usual() -> Usual:
    photos = [cell_means(photo(seed)) for seed in range(400)]
    return describe_usual(photos[:300], photos[300:])


def test_few_images_of_the_same_kind_are_unusual(usual):
    novelty = Novelty(usual)

    assert sum(novelty.is_unusual(photo(seed)) for seed in range(1000, 1500)) <= 25


@pytest.mark.parametrize(
    "other",
    [
        np.zeros((H, W), np.uint8),
        np.full((H, W), 255, np.uint8),
        255 - photo(1),
        np.roll(photo(1), H // 2, axis=0),
        np.random.default_rng(0).integers(0, 256, (H, W), np.uint8),
    ],
    ids=["black", "white", "negative", "cut in two", "noise"],
)
def test_another_kind_of_image_is_unusual(usual, other):
    assert Novelty(usual).is_unusual(other)


def test_at_most_one_in_a_hundred_known_images_lies_beyond_the_threshold(usual):
    novelty = Novelty(usual)

    assert 1 <= sum(novelty.is_unusual(photo(seed)) for seed in range(300)) <= 3
    assert sum(novelty.is_unusual(photo(seed)) for seed in range(300, 400)) <= 1


def test_few_held_out_images_do_not_make_others_of_their_kind_unusual():
    photos = [cell_means(photo(seed)) for seed in range(110)]
    novelty = Novelty(describe_usual(photos[:100], photos[100:]))

    assert not any(novelty.is_unusual(photo(seed)) for seed in range(100, 110))
    assert sum(novelty.is_unusual(photo(seed)) for seed in range(1000, 1500)) <= 25


def test_cells_that_never_change_are_no_reason_for_infinity():
    black = [np.zeros(64, np.float32)] * 20
    usual = describe_usual(black, black)

    assert usual.deviations == (1.0,) * 64
    assert Novelty(usual).is_unusual(np.full((8, 8), 9, np.uint8))


@pytest.mark.parametrize(
    ("shape", "cells"),
    [((960, 480), 17 * 8), ((28, 28), 81), ((8, 8), 64), ((8, 60), 8 * 60)],
)
def test_cells_follow_the_shape(shape, cells):
    pixels = np.full(shape, 7, np.uint8)

    assert cell_means(pixels).tolist() == [7.0] * cells
