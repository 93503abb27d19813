"""What augmentations change, what they keep, and that they can be repeated."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from training.augmentation import NAMES, Handwriting, augmentation

Pixels = NDArray[np.uint8]
CHANGING = [name for name in NAMES if name != "none"]


def textured(count: int = 6, height: int = 40, width: int = 30) -> Pixels:
    return np.random.default_rng(1).integers(0, 256, (count, height, width), dtype=np.uint8)


def stroke(height: int = 28, width: int = 28) -> Pixels:
    image = np.zeros((1, height, width), np.uint8)
    image[0, 5:-5, width // 2 - 1 : width // 2 + 2] = 250
    return image


@pytest.fixture(scope="module")
def digits() -> tuple[Pixels, Pixels, NDArray[np.int64], NDArray[np.int64]]:
    bunch = load_digits()
    small = np.kron(bunch.images, np.ones((3, 3))) * 255 / 16  # (N, 24, 24)
    pixels = np.pad(small.astype(np.uint8), ((0, 0), (2, 2), (2, 2)))
    return pixels[:1200], pixels[1200:], bunch.target[:1200], bunch.target[1200:]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 28, 28), (5, 17, 40), (3, 64, 20), (0, 28, 28), (4, 2, 3)])
def test_shape_and_type_are_kept(name: str, shape: tuple[int, int, int]) -> None:
    images = np.full(shape, 77, np.uint8)
    changed = augmentation(name)(images, np.random.default_rng(0))
    assert (changed.shape, changed.dtype) == (shape, np.dtype(np.uint8))
    assert changed.flags.c_contiguous
    assert (changed == 77).all()  # a blank page stays one, up to its very border


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", [1, 2])
def test_even_the_tiniest_image_is_accepted(name: str, side: int) -> None:
    images = textured(3, side, side)
    changed = augmentation(name)(images, np.random.default_rng(0))
    assert changed.shape == images.shape


@pytest.mark.parametrize("name", NAMES)
def test_input_is_neither_changed_nor_shared(name: str) -> None:
    images = textured()
    before = images.copy()
    changed = augmentation(name)(images, np.random.default_rng(0))
    assert not np.shares_memory(changed, images)
    changed[:] = 0
    assert (images == before).all()


@pytest.mark.parametrize("name", NAMES)
def test_read_only_input_is_enough(name: str) -> None:
    images = textured()
    images.flags.writeable = False
    assert augmentation(name)(images, np.random.default_rng(0)).flags.writeable


@pytest.mark.parametrize("name", NAMES)
def test_equal_generators_give_equal_images(name: str) -> None:
    first, second = (augmentation(name)(textured(), np.random.default_rng(5)) for _ in range(2))
    assert (first == second).all()


@pytest.mark.parametrize("name", CHANGING)
def test_each_call_and_each_image_draws_anew(name: str) -> None:
    generator = np.random.default_rng(5)
    same = np.repeat(textured(1), 12, axis=0)
    first, second = (augmentation(name)(same, generator) for _ in range(2))
    assert (first != second).any()
    assert len({image.tobytes() for image in first}) > 6
    assert any((image != same[0]).any() for image in first)


def test_none_changes_nothing() -> None:
    images = textured()
    assert (augmentation("none")(images, np.random.default_rng(0)) == images).all()


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="none, shifts, flips-and-shifts, handwriting.*'mixup'"):
        augmentation("mixup")


def shifted_by_hand(image: Pixels, down: int, right: int) -> Pixels:
    rows = np.clip(np.arange(image.shape[0]) - down, 0, image.shape[0] - 1)
    columns = np.clip(np.arange(image.shape[1]) - right, 0, image.shape[1] - 1)
    moved: Pixels = image[rows][:, columns]
    return moved


def all_shifts(image: Pixels) -> dict[bytes, tuple[int, int]]:
    down, right = (round(0.02 * side) for side in image.shape)
    return {
        shifted_by_hand(image, dy, dx).tobytes(): (dy, dx)
        for dy in range(-down, down + 1)
        for dx in range(-right, right + 1)
    }


def test_shifts_reach_two_percent_of_each_side_and_repeat_the_border() -> None:
    image = textured(1, 100, 60)
    possible = all_shifts(image[0])
    changed = augmentation("shifts")(np.repeat(image, 400, axis=0), np.random.default_rng(0))
    seen = {possible[moved.tobytes()] for moved in changed}  # a KeyError is any other change
    assert {dy for dy, _ in seen} == set(range(-2, 3))
    assert {dx for _, dx in seen} == {-1, 0, 1}


def test_flips_come_in_all_four_kinds_equally_often() -> None:
    image = textured(1, 40, 30)[0]
    kinds = {
        flip: all_shifts(np.ascontiguousarray(image[:: flip[0], :: flip[1]]))
        for flip in ((1, 1), (1, -1), (-1, 1), (-1, -1))
    }
    same = np.repeat(image[None], 800, axis=0)
    changed = augmentation("flips-and-shifts")(same, np.random.default_rng(0))
    counts = {flip: sum(moved.tobytes() in kinds[flip] for moved in changed) for flip in kinds}
    assert sum(counts.values()) == 800
    assert all(150 <= count <= 250 for count in counts.values()), counts


@pytest.mark.parametrize("name", ["shifts", "handwriting"])
def test_digits_stay_readable(
    name: str, digits: tuple[Pixels, Pixels, NDArray[np.int64], NDArray[np.int64]]
) -> None:
    train, test, train_labels, test_labels = digits
    centroids = np.stack([train[train_labels == label].mean(0) for label in range(10)])

    def accuracy_on(images: Pixels) -> float:
        distances = np.square(images[:, None] - centroids).sum((2, 3))  # (N, 10)
        return float((distances.argmin(axis=1) == test_labels).mean())

    accuracy = accuracy_on(augmentation(name)(test, np.random.default_rng(0)))
    plain = accuracy_on(test)
    assert 0.6 < accuracy < plain  # harder, but far above the tenth that guessing gets


def only(**changes: float) -> Handwriting:
    nothing = {
        "rotation_deg": 0, "scale": 0, "shear": 0, "shift": 0, "elastic": 0, "thickness": 0
    }  # fmt: skip
    return Handwriting(**{**nothing, **changes})


def test_handwriting_without_any_strength_is_the_identity() -> None:
    images = textured()
    assert (only()(images, np.random.default_rng(0)) == images).all()


def test_thickness_makes_strokes_both_bolder_and_finer_but_moves_nothing() -> None:
    image = stroke()
    changed = only(thickness=1.0)(np.repeat(image, 200, axis=0), np.random.default_rng(0))
    ink = changed.sum((1, 2)) / image.sum()
    assert ink.min() < 0.5
    assert ink.max() > 1.5
    centres = (changed * np.arange(28)).sum((1, 2)) / changed.sum((1, 2))
    assert np.abs(centres - 14).max() < 0.02


def test_scale_rotation_shear_and_shift_have_the_size_they_say() -> None:
    image = stroke(56, 56)
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:56, :56] - 27.5
    for part, limit in (("shift", 0.1), ("scale", 0.2), ("rotation_deg", 30.0), ("shear", 0.3)):
        changed = only(**{part: limit})(np.repeat(image, 100, axis=0), generator)
        ink = changed / changed.sum((1, 2), keepdims=True)
        tilt = (ink * rows * columns).sum((1, 2)) / (ink * rows * rows).sum((1, 2))
        found = {
            "shift": np.abs((ink * rows).sum((1, 2))) / 56,
            "scale": np.abs(np.log(np.sqrt((ink * rows * rows).sum((1, 2))) / 13.3)),
            "rotation_deg": np.degrees(np.arctan(np.abs(tilt))),
            "shear": np.abs(tilt),
        }[part]
        assert 0.85 * limit < found.max() < 1.1 * limit, part


def test_elastic_displacement_has_the_standard_deviation_it_says() -> None:
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8) * 4, (400, 64, 64))
    changed = only(elastic=0.03)(ramp, np.random.default_rng(0))
    inner = (changed.astype(float) - ramp)[:, 16:48, 16:48] / 4  # pixels; the border is clipped
    assert inner.std() == pytest.approx(0.03 * 64, rel=0.05)
    jumps = np.diff(inner, axis=1)
    assert jumps.std() < inner.std() / 5  # smooth: neighbours move together


@settings(deadline=None)  # its time depends on what else the machine does
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(1, 70), width=st.integers(1, 70))
def test_handwriting_invents_no_grey_beyond_those_it_was_given(
    seed: int, height: int, width: int
) -> None:
    generator = np.random.default_rng(seed)
    images = generator.integers(60, 190, (3, height, width), dtype=np.uint8)
    changed = augmentation("handwriting")(images, generator)
    assert images.min() <= changed.min()
    assert changed.max() <= images.max()


def test_large_batches_are_no_different_from_small_ones() -> None:
    image = textured(1)
    many = augmentation("handwriting")(np.repeat(image, 3000, axis=0), np.random.default_rng(0))
    assert len({one.tobytes() for one in many}) == 3000
    assert np.abs(many[:1500].mean(0) - many[1500:].mean(0)).max() < 12


@pytest.mark.parametrize("name", NAMES)
def test_threads_with_their_own_generators_do_not_disturb_each_other(name: str) -> None:
    augment, images = augmentation(name), textured(64)

    def run(seed: int) -> bytes:
        return augment(images, np.random.default_rng(seed)).tobytes()

    alone = [run(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(8))) == alone
