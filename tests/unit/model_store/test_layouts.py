"""Which folders are splits and which are classes, in the layouts that users have."""

from pathlib import Path

import pytest
from class_folders import write_classes

from model_store.errors import InvalidLayout
from model_store.sources import Source, open_labelled


def write(root: Path, *folders: str) -> Path:
    """Write one image into each of `folders`."""
    for folder in folders:
        top, _, label = folder.rpartition("/")
        write_classes(root / top, {label: 1})
    return root


def splits(source: Source) -> set[tuple[str | None, str | None]]:
    return {(item.split, item.label) for item in source.items}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("VAL", "val"),
        ("valid", "val"),
        ("Validation", "val"),
        ("dev", "val"),
        ("Test", "test"),
        ("testing", "test"),
        ("eval", "test"),
    ],
)
def test_a_split_goes_by_any_usual_name_in_any_case(tmp_path, name, split):
    source = open_labelled(write(tmp_path, f"{name}/a", f"{name}/b"))

    assert splits(source) == {(split, "a"), (split, "b")}
    assert (list(source.labels), list(source.notes)) == (["a", "b"], [])


def test_splits_come_in_order_whatever_they_are_called(tmp_path):
    source = open_labelled(write(tmp_path, "Dev/a", "Eval/a", "Training/a"))

    assert [item.split for item in source.items] == ["train", "val", "test"]
    assert [item.name for item in source.items][0] == "Training/a/000.png"


@pytest.mark.parametrize("above", ["dataset", "archive/dataset"])
def test_splits_one_folder_too_high_are_found_and_said(tmp_path, above):
    source = open_labelled(
        write(tmp_path, *(f"{above}/{s}/{c}" for s in ("train", "test") for c in "ab"))
    )

    assert splits(source) == {(s, c) for s in ("train", "test") for c in "ab"}
    assert source.items[0].name == f"{above}/train/a/000.png"
    assert source.notes[0].startswith(f"The data set is the folder {above.partition('/')[0]}")


def test_splits_in_one_of_several_folders_are_refused_with_the_path_to_give(tmp_path):
    write(tmp_path, "dataset/train/a", "dataset/test/a", "papers/x")

    with pytest.raises(InvalidLayout, match=f"Give {tmp_path / 'dataset'}$"):
        open_labelled(tmp_path)


def test_a_split_within_itself_is_that_split(tmp_path):
    source = open_labelled(write(tmp_path, "train/train/a", "train/train/b", "test/test/a"))

    assert splits(source) == {("train", "a"), ("train", "b"), ("test", "a")}
    assert source.notes == [
        "The classes of test are the folders in its test.",
        "The classes of train are the folders in its train.",
    ]


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (["Train", "Test"], "Expected class folders in Test, Train, .*Sort the images"),
        (["train", "car", "bus"], "Expected class folders in train, .*rename its folder"),
        (["train/day", "car/day"], "Received: train, which is named like a split, beside car"),
        (
            ["train/train/a", "train/val/a"],
            "Received: train, val, named like splits.*give .*/train",
        ),
        (["train/train", "train/car", "test/car"], "Received: train, named like splits"),
        (["train/a", "val/a", "valid/a"], "two for val, valid being the second"),
    ],
)
def test_names_of_splits_that_may_be_classes_are_refused(tmp_path, folders, words):
    with pytest.raises(InvalidLayout, match=words):
        open_labelled(write(tmp_path, *folders))


def test_what_is_left_out_beside_splits_is_said(tmp_path):
    write(tmp_path, "train/a", "train/b", "val/a", "val/b", "test", "holdout/a")
    (tmp_path / "notes").mkdir()
    source = open_labelled(tmp_path)

    assert {item.split for item in source.items} == {"train", "val"}
    assert source.notes == ["Left out, for they are no splits with class folders: test, holdout."]


def test_files_beside_the_class_folders_are_said(tmp_path):
    write(tmp_path, "train/a", "train/b")
    (tmp_path / "labels.csv").write_text("x")
    (tmp_path / "train" / "stray.png").write_bytes(b"x")
    source = open_labelled(tmp_path)

    assert len(source.items) == 2
    assert source.notes == [
        "Left out, for they are in no class folder: labels.csv, train/stray.png."
    ]


def test_splits_within_classes_are_said_not_to_be_any(tmp_path):
    source = open_labelled(write(tmp_path, "cat/train", "cat/test", "dog/train", "dog/test"))

    assert splits(source) == {(None, "cat"), (None, "dog")}
    assert source.notes == [
        "Not taken as splits, for they are in classes: cat/test, cat/train, dog/test, dog/train."
    ]


def test_classes_one_folder_too_deep_are_asked_about(tmp_path):
    source = open_labelled(write(tmp_path, "images/cat", "images/dog"))

    assert source.labels == ["images"]
    assert source.notes == [
        "The only class is images. If the folders in it are the classes (cat, dog), give that "
        "folder."
    ]
