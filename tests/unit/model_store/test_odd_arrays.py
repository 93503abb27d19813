"""An .npz as strangers make them: other types and shapes, damage, and names in capitals."""

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from model_store.errors import InvalidLayout
from model_store.sources import open_labelled, open_unlabelled

RANDOM = np.random.default_rng(0)
BYTES = RANDOM.integers(0, 256, (6, 4, 5), np.uint8)
CLASSES = np.array([0, 1, 2, 0, 1, 2])


def save(path: Path, **changes: object) -> Path:
    arrays = {"x_train": BYTES, "y_train": CLASSES, "x_test": BYTES, "y_test": CLASSES}
    np.savez(path, **(arrays | changes))
    return path


def advised(path: Path, code: str, **names: object) -> object:
    """Return what the code of a refusal makes, once it was found in it."""
    with pytest.raises(InvalidLayout) as refusal:
        open_labelled(path)
    assert code in str(refusal.value)
    return eval(code, names)  # noqa: S307  # our own words


@pytest.mark.parametrize(
    ("images", "code"),
    [
        (BYTES / 255, "(255 * x).round().astype('uint8')"),
        (BYTES.astype(np.float32), "x.round().astype('uint8')"),
        (BYTES > 100, "(255 * x).round().astype('uint8')"),
        (np.stack([BYTES] * 3, axis=-1), "x.mean(axis=-1).round().astype('uint8')"),
        (np.stack([BYTES / 255] * 3, -1), "(255 * x).mean(axis=-1).round().astype('uint8')"),
        (BYTES.reshape(6, -1), "x.reshape(-1, height, width)"),
    ],
)
def test_the_code_that_a_refusal_of_images_names_makes_them_readable(tmp_path, images, code):
    made = advised(save(tmp_path / "data.npz", x_train=images), code, x=images, height=4, width=5)
    source = open_labelled(save(tmp_path / "data.npz", x_train=made))

    expected = np.where(BYTES > 100, 255, 0) if images.dtype == bool else BYTES
    assert np.array_equal([item.data for item in source.items[:6]], expected)


@pytest.mark.parametrize(
    ("labels", "code"),
    [
        (np.eye(3)[CLASSES], "y.argmax(axis=1)"),
        (np.eye(3, dtype=int)[CLASSES], "y.argmax(axis=1)"),
        (CLASSES.astype(float), "y.astype(int)"),
        (np.array(["a", "b", "c"])[CLASSES], "numpy.unique(y, return_inverse=True)"),
    ],
)
def test_the_code_that_a_refusal_of_labels_names_makes_them_readable(tmp_path, labels, code):
    made = advised(save(tmp_path / "data.npz", y_train=labels), code, y=labels, numpy=np)
    made = made[1] if isinstance(made, tuple) else made
    source = open_labelled(save(tmp_path / "data.npz", y_train=made))

    assert [item.label for item in source.items[:6]] == list("012012")


def array_file(header: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


@pytest.mark.parametrize(
    "member",
    [
        array_file(b"{'descr': '|u1', 'fortran_order': False, 'shape': (10**12, 8, 8), }\n"),
        array_file(
            b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 28, 28), }\n"
        ),
        array_file(b"{'descr': ((((((\n"),
    ],
    ids=["no number", "more than there is memory", "open brackets"],
)
def test_a_broken_array_is_refused(tmp_path, member):
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            archive.writestr(f"{name}.npy", member)
    with pytest.raises(InvalidLayout, match="plain arrays"):
        open_labelled(tmp_path / "data.npz")


def test_any_damage_to_an_archive_is_refused_or_harmless(tmp_path):
    sound = save(tmp_path / "data.npz").read_bytes()
    random, refused = np.random.default_rng(1), 0
    for _ in range(400):
        damaged = bytearray(sound)
        # The directory at the end holds what decides how each array is read.
        damaged[int(random.integers(len(sound) - 400, len(sound)))] ^= int(random.integers(1, 256))
        (tmp_path / "data.npz").write_bytes(damaged)
        try:
            open_labelled(tmp_path / "data.npz")
        except InvalidLayout:
            refused += 1
    assert refused > 100


def test_a_name_in_capitals_is_an_npz_too(tmp_path):
    path = save(tmp_path / "data.npz").rename(tmp_path / "DATA.NPZ")
    assert len(open_labelled(path).items) == 12
    assert len(open_unlabelled(path).items) == 6
