"""A split that lacks a class is refused, with a sentence for each cause."""

import shutil
from pathlib import Path

import pytest
from class_folders import write_classes
from data_sets import split
from PIL import Image

from training.data.cache import PixelCache
from training.errors import MissingClass


def refusal(root: Path, cache: PixelCache) -> str:
    with pytest.raises(MissingClass) as refused:
        split(root, cache)
    return str(refused.value)


COUNTS = {  # images of each class in each folder, and the sentence
    "too few": (
        {"": {"a": 10, "b": 2}},
        "Expected images of every class in the val split. Received: none of 'b'. 'b' needs at "
        "least 3 different images, one for each split, and has 2: add some.",
    ),
    "too few beside a test split": (
        {"train": {"a": 10, "b": 1}, "test": {"a": 3, "b": 3}},
        "'b' needs at least 2 different images, one for each split, and has 1: add some.",
    ),
    "none in test": (
        {"train": {"a": 10, "b": 10}, "test": {"a": 3}},
        "Expected images of every class in the test split. Received: none of 'b'. 'b' has images "
        "in train and none in test: add some, or remove the class from every split.",
    ),
    "none but in test": (
        {"train": {"a": 10, "b": 10}, "test": {"a": 3, "b": 3, "c": 3}},
        "'c' has images in test and none in train: add some, or remove the class from every split.",
    ),
    "a test split alone": (
        {"Test": {"a": 10, "b": 10}},
        "Expected a split to train on. Received: test alone.",
    ),
}


@pytest.mark.parametrize(("folders", "sentence"), COUNTS.values(), ids=COUNTS)
def test_classes_with_too_few_images(tmp_path, cache, folders, sentence):
    for seed, (folder, counts) in enumerate(folders.items()):
        write_classes(tmp_path / "data" / folder, counts, seed=5 * seed)

    assert sentence in refusal(tmp_path / "data", cache)


def test_a_class_of_equal_images(tmp_path, cache):
    root = write_classes(tmp_path / "data", {"a": 10, "b": 1})
    for k in range(5):
        shutil.copy(root / "b" / "000.png", root / "b" / f"copy{k}.png")

    assert "The 6 images of 'b' have only 1 different contents once" in refusal(root, cache)


def test_a_class_of_images_that_other_classes_hold(tmp_path, cache):
    root = write_classes(tmp_path / "data", {"a": 10, "c": 10})
    trained = [item for item in split(root, cache).train.items if item.label == "a"]
    (root / "b").mkdir()
    for item in trained[:3]:
        shutil.copy(root / item.name, root / "b")

    assert refusal(root, cache).endswith(
        "Images of 'b' are identical to images of other classes: decide for each which class it "
        "is of."
    )


def test_training_images_that_are_all_held_out_too(tmp_path, cache):
    root = tmp_path / "data"
    write_classes(root / "train", {"a": 10, "b": 3})
    write_classes(root / "test", {"a": 3}, seed=5)
    shutil.copytree(root / "train" / "b", root / "test" / "b")

    assert "All 3 images of 'b' in train stand in a held-out split too" in refusal(root, cache)


def test_a_folder_without_any_image(tmp_path, cache):
    root = write_classes(tmp_path / "data", {"a": 10, "b": 10})
    (root / "papers").mkdir()
    (root / "papers" / "notes.txt").write_text("hello")
    Image.new("L", (4, 4)).save(root / "papers" / "scan.jp2")

    assert "None of the 2 files of 'papers' can be read as an image" in refusal(root, cache)


def test_empty_class_folders_of_which_not_all_are_listed(tmp_path, cache):
    root = write_classes(tmp_path / "data", {"a": 10, "b": 10})
    for k in range(8):
        (root / f"empty{k}").mkdir()

    said = refusal(root, cache)
    assert "The folder of 'empty0' is empty: put images into it, or remove it." in said
    assert said.count(" is empty: ") == 5
    assert said.endswith(" 3 more are missing.")
