"""What augmentations change, what they keep, and that they can be repeated."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from training.learn.augmentation import MIRRORS, MOVEMENTS, Handwriting, augmentation

Pixels = NDArray[np.float32]
NAMES = ["none", *MIRRORS, *MOVEMENTS, "handwriting", "flips+small", "mirror+any-angle"]
CHANGING = [name for name in NAMES if name != "none"]


def textured(count: int = 6, height: int = 40, width: int = 30) -> Pixels:
    pixels = np.random.default_rng(1).integers(0, 256, (count, height, width))
    return pixels.astype(np.float32)


def stroke(height: int = 28, width: int = 28) -> Pixels:
    image = np.zeros((1, height, width), np.float32)
    image[0, 5:-5, width // 2 - 1 : width // 2 + 2] = 250
    return image


@pytest.fixture(scope="module")
def digits() -> tuple[Pixels, Pixels, NDArray[np.int64], NDArray[np.int64]]:
    bunch = load_digits()
    small = np.kron(bunch.images, np.ones((3, 3))) * 255 / 16  # (N, 24, 24)
    pixels = np.pad(np.floor(small).astype(np.float32), ((0, 0), (2, 2), (2, 2)))
    return pixels[:1200], pixels[1200:], bunch.target[:1200], bunch.target[1200:]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(5, 17, 40), (3, 64, 20), (0, 28, 28), (4, 2, 3), (3, 1, 1)])
def test_shape_and_type_are_kept(name, shape):
    images = np.full(shape, 77, np.float32)
    changed = augmentation(name)(images, np.random.default_rng(0))
    assert (changed.shape, changed.dtype) == (shape, np.dtype(np.float32))
    assert changed.flags.c_contiguous
    assert np.allclose(changed, 77)  # a blank page stays one, up to its very border


@pytest.mark.parametrize("name", NAMES)
def test_input_that_may_only_be_read_is_neither_changed_nor_shared(name):
    images = textured()
    images.flags.writeable = False
    changed = augmentation(name)(images, np.random.default_rng(0))
    assert changed.flags.writeable and not np.shares_memory(changed, images)


@pytest.mark.parametrize("name", CHANGING)
def test_each_call_and_each_image_draws_anew(name):
    generator = np.random.default_rng(5)
    same = np.repeat(textured(1), 12, axis=0)
    first, second = (augmentation(name)(same, generator) for _ in range(2))
    assert (first != second).any()
    kinds = {"mirror": 2, "upside-down": 2, "flips": 4}.get(name, 7)
    assert len({image.tobytes() for image in first}) >= kinds
    assert any((image != same[0]).any() for image in first)


def test_none_changes_nothing():
    images = textured()
    assert (augmentation("none")(images, np.random.default_rng(0)) == images).all()


@pytest.mark.parametrize("name", ["mixup", "flips+mixup", "", "flips+", "none+small"])
def test_unknown_name_is_refused_with_the_known_ones(name):
    with pytest.raises(ValueError, match="none, mirror, .*any-angle, handwriting. Received"):
        augmentation(name)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("mirror", {(1, 1), (1, -1)}),
        ("upside-down", {(1, 1), (-1, 1)}),
        ("flips", {(1, 1), (1, -1), (-1, 1), (-1, -1)}),
    ],
)
def test_mirror_images_come_in_all_their_kinds_equally_often(name, kinds):
    image = textured(1, 40, 30)[0]
    names = {
        np.ascontiguousarray(image[::down, ::right]).tobytes(): (down, right)
        for down in (1, -1)
        for right in (1, -1)
    }
    changed = augmentation(name)(np.repeat(image[None], 800, axis=0), np.random.default_rng(0))
    counts = Counter(names[one.tobytes()] for one in changed)  # a KeyError is any other change
    assert counts.keys() == kinds
    assert all(abs(count - 800 / len(kinds)) < 75 for count in counts.values()), counts


def affine_maps(
    name: str, size: tuple[int, int] = (61, 81), count: int = 600, **settings: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what was applied to images: (N, 2, 2) matrices, x before y, and (N, 2) shifts.

    An affine map of a ramp is a ramp again, as long as the border stays outside.
    """
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    found = []
    for ramp in (x - x.mean(), y - y.mean()):
        same = np.repeat(ramp[None], count, axis=0)
        moved = augmentation(name, **settings)(same, np.random.default_rng(0))
        middle = moved[:, height // 2 - 1 : height // 2 + 2, width // 2 - 1 : width // 2 + 2]
        right = (middle[:, 1, 2] - middle[:, 1, 0]) / 2
        down = (middle[:, 2, 1] - middle[:, 0, 1]) / 2
        found.append(np.stack([right, down, middle[:, 1, 1]], axis=-1))
    rows = np.stack(found, axis=1).astype(np.float64)  # (N, 2, 3)
    return rows[..., :2], rows[..., 2] / (width, height)


@pytest.mark.parametrize(
    ("name", "degrees", "scale", "shift"),
    [
        ("shifts", 0, 0, 0.02),
        ("small", 8, 0.08, 0.04),
        ("large", 15, 0.15, 0.08),
        ("any-angle", 180, 0.08, 0.04),
    ],
)
@pytest.mark.parametrize("aspect", [1.0, 0.5])
def test_movements_have_the_size_they_say_in_the_world(name, degrees, scale, shift, aspect):
    matrices, shifts = affine_maps(name, pixel_aspect=aspect)
    # Pixels become squares; then what is left is a rotation of scaled axes.
    world = matrices * [[1, 1 / aspect], [aspect, 1]]
    angles = np.degrees(np.arctan2(world[:, 1, 0], world[:, 0, 0]))
    scales = np.linalg.norm(world, axis=1)

    sizes = ((angles, degrees), (np.log(scales), np.log1p(scale)), (shifts, shift))
    for values, limit in sizes:
        assert np.abs(values).max() <= limit + 1e-3
        assert values.max() >= 0.9 * limit - 1e-3 and values.min() <= -0.9 * limit + 1e-3
        assert abs(values.mean()) <= 0.1 * limit + 1e-3
    assert np.abs((world[:, :, 0] * world[:, :, 1]).sum(axis=1)).max() < 1e-3  # no shear


def test_joined_parts_both_happen():
    determinants = np.linalg.det(affine_maps("mirror+small")[0])
    assert 0.4 < (determinants < 0).mean() < 0.6
    assert np.abs(np.abs(determinants) - 1).max() > 0.05


@pytest.mark.parametrize("name", ["shifts", "small", "handwriting"])
def test_digits_stay_readable(name, digits):
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


def test_thickness_makes_strokes_both_bolder_and_finer_but_moves_nothing():
    image = stroke()
    changed = only(thickness=1.0)(np.repeat(image, 200, axis=0), np.random.default_rng(0))
    ink = changed.sum((1, 2)) / image.sum()
    assert ink.min() < 0.5
    assert ink.max() > 1.5
    centres = (changed * np.arange(28)).sum((1, 2)) / changed.sum((1, 2))
    assert np.abs(centres - 14).max() < 0.02


def test_scale_rotation_shear_and_shift_have_the_size_they_say():
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


def test_elastic_displacement_has_the_standard_deviation_it_says():
    ramp = np.broadcast_to(np.arange(64, dtype=np.float32) * 4, (400, 64, 64))
    changed = only(elastic=0.03)(ramp, np.random.default_rng(0))
    inner = (changed.astype(float) - ramp)[:, 16:48, 16:48] / 4  # pixels; the border is clipped
    assert inner.std() == pytest.approx(0.03 * 64, rel=0.05)
    jumps = np.diff(inner, axis=1)
    assert jumps.std() < inner.std() / 5  # smooth: neighbours move together


@given(seed=st.integers(0, 2**32 - 1), height=st.integers(1, 70), width=st.integers(1, 70))
def test_handwriting_invents_no_grey_beyond_those_it_was_given(seed, height, width):
    generator = np.random.default_rng(seed)
    images = generator.integers(60, 190, (3, height, width)).astype(np.float32)
    changed = augmentation("handwriting")(images, generator)
    assert images.min() <= changed.min()
    assert changed.max() <= images.max()


def test_large_batches_are_no_different_from_small_ones():
    image = textured(1)
    many = augmentation("handwriting")(np.repeat(image, 3000, axis=0), np.random.default_rng(0))
    assert len({one.tobytes() for one in many}) == 3000
    assert np.abs(many[:1500].mean(0) - many[1500:].mean(0)).max() < 12


@pytest.mark.parametrize("name", NAMES)
def test_threads_with_their_own_generators_do_not_disturb_each_other(name):
    augment, images = augmentation(name), textured(64)

    def run(seed: int) -> bytes:
        return augment(images, np.random.default_rng(seed)).tobytes()

    alone = [run(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(8))) == alone
