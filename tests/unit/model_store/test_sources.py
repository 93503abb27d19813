from pathlib import Path

import numpy as np
import pytest
from class_folders import write_classes
from PIL import Image

from model_store.errors import InvalidLayout, NoImages
from model_store.pixels.preprocessing import preprocess
from model_store.sources import natural_key, open_labelled, open_unlabelled
from model_store.spec import ImageSpec


def save_npz(path: Path, **arrays: np.ndarray) -> Path:
    defaults = {
        "x_train": np.arange(6 * 4 * 5, dtype=np.uint8).reshape(6, 4, 5),
        "y_train": np.array([0, 10, 2, 0, 10, 2]),
        "x_test": np.zeros((3, 4, 5), np.uint8),
        "y_test": np.array([0, 2, 10]),
    }
    np.savez(path, **{**defaults, **arrays})
    return path


def test_class_folders_give_sorted_labels_and_no_split(tmp_path):
    source = open_labelled(write_classes(tmp_path, {"ok": 2, "bad": 1}))
    assert source.labels == ["bad", "ok"]
    assert [(item.name, item.label, item.split) for item in source.items] == [
        ("bad/000.png", "bad", None),
        ("ok/000.png", "ok", None),
        ("ok/001.png", "ok", None),
    ]


JUNK_FILES = (".DS_Store", "._000.png", "Thumbs.db", "thumbs.db", "desktop.ini")
JUNK_FOLDERS = (".git", "__MACOSX", ".ipynb_checkpoints", "@eaDir")


def leave_junk(root: Path) -> None:
    """Leave in every folder what systems leave there."""
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        for name in JUNK_FILES:
            (folder / name).write_bytes(b"x")
        for name in JUNK_FOLDERS:
            (folder / name).mkdir()
            Image.new("L", (2, 2)).save(folder / name / "junk.png")


def test_what_systems_leave_in_folders_is_no_data(tmp_path):
    write_classes(tmp_path / "data", {"a": 1, "b": 1})
    leave_junk(tmp_path)
    source = open_labelled(tmp_path / "data")
    assert [item.name for item in source.items] == ["a/000.png", "b/000.png"]
    assert (source.labels, source.notes) == (["a", "b"], [])
    names = [item.name for item in open_unlabelled(tmp_path).items]
    assert names == ["data/a/000.png", "data/b/000.png"]


def test_an_image_is_what_is_named_or_begins_like_one(tmp_path):
    Image.new("L", (2, 2)).save(tmp_path / "no-ending", format="PNG")
    for name in ("broken.png", "photo.JPEG", "scan.tif", "x.webp", "list.csv", "readme"):
        (tmp_path / name).write_bytes(b"nothing that any format begins with")
    source = open_unlabelled(tmp_path)
    images = {item.name for k, item in enumerate(source.items) if source.is_image(k)}
    assert images == {"no-ending", "broken.png", "photo.JPEG", "scan.tif", "x.webp"}


def test_images_in_deeper_folders_belong_to_their_class(tmp_path):
    write_classes(tmp_path / "a", {"camera-1": 1})
    write_classes(tmp_path, {"b": 1})
    assert [item.label for item in open_labelled(tmp_path).items] == ["a", "b"]


@pytest.mark.parametrize("kind", ["missing", "no folders", "empty folders"])
def test_a_path_without_labelled_images_is_refused(tmp_path, kind):
    path, error = tmp_path, InvalidLayout
    if kind == "missing":
        path = tmp_path / "nowhere"
    elif kind == "empty folders":
        (tmp_path / "a").mkdir()
        error = NoImages
    with pytest.raises(error, match="Expected"):
        open_labelled(path)


def test_images_without_class_folders_are_said_with_what_to_do(tmp_path):
    folder = write_classes(tmp_path, {"ok": 3}) / "ok"
    (folder / "notes.txt").write_text("none of them")
    with pytest.raises(InvalidLayout, match="image files: 3.*give the folder above"):
        open_labelled(folder)


def test_npz_labels_are_in_numeric_order_and_pixels_survive(tmp_path):
    source = open_labelled(save_npz(tmp_path / "data.npz"))
    assert source.labels == ["0", "2", "10"]
    assert source.items[1].name == "x_train[1]"
    pixels = preprocess(source.encoded(1), ImageSpec.for_size(4, 5))
    assert pixels.tolist() == np.arange(20, 40).reshape(4, 5).tolist()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": np.zeros((6, 20), np.uint8)}, "shape"),
        ({"x_train": np.zeros((6, 4, 5))}, "integers"),
        ({"x_train": np.full((6, 4, 5), 256)}, "0-255"),
        ({"y_train": np.zeros(5, np.int64)}, "one integer label"),
        ({"y_train": np.zeros(6)}, "one integer label"),
        ({"x_train": np.array([object()] * 6, dtype=object)}, "pickled"),
    ],
)
def test_npz_with_wrong_arrays_is_refused(tmp_path, arrays, message):
    with pytest.raises(InvalidLayout, match=message):
        open_labelled(save_npz(tmp_path / "data.npz", **arrays))


@pytest.mark.parametrize("kind", ["cut short", "one array", "damaged"])
def test_npz_that_is_no_sound_archive_is_refused(tmp_path, kind):
    path = save_npz(tmp_path / "data.npz")
    data = path.read_bytes()
    if kind == "cut short":
        path.write_bytes(data[: len(data) // 2])
    elif kind == "one array":
        with path.open("wb") as file:
            np.save(file, np.zeros((6, 4, 5), np.uint8))
    else:
        path.write_bytes(data[:200] + bytes([data[200] ^ 255]) + data[201:])
    with pytest.raises(InvalidLayout, match="plain arrays"):
        open_labelled(path)


def test_npz_without_an_array_names_what_is_expected(tmp_path):
    np.savez(tmp_path / "data.npz", x=np.zeros(3))
    with pytest.raises(InvalidLayout, match="x_train, x_test, y_train, y_test.*Received: x"):
        open_labelled(tmp_path / "data.npz")


def test_unlabelled_files_come_in_name_order(tmp_path):
    for name in ("b.png", "a/z.png", "a10.png", "a2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (2, 2)).save(tmp_path / name)
    names = [item.name for item in open_unlabelled(tmp_path).items]
    assert names == ["a/z.png", "a10.png", "a2.png", "b.png"]
    assert sorted(names, key=natural_key) == ["a/z.png", "a2.png", "a10.png", "b.png"]
