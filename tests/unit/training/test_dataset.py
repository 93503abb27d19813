import shutil
from collections import Counter
from pathlib import Path

import pytest
from class_folders import write_classes

from training.cache import PixelCache
from training.dataset import Dataset, assemble_dataset
from training.errors import MissingClass, NoImages
from training.sources import open_labelled


def load(root: Path, cache: PixelCache, seed: int = 0) -> Dataset:
    source = open_labelled(root)
    return assemble_dataset(source, cache.index(source, lambda _: None), cache, seed)


def names(data: Dataset) -> dict[str, set[str]]:
    splits = {"train": data.train, "val": data.val, "test": data.test}
    return {name: {item.name for item in split.items} for name, split in splits.items()}


def test_drawn_splits_are_disjoint_complete_and_stratified(
    tmp_path: Path, cache: PixelCache
) -> None:
    data = load(write_classes(tmp_path / "data", {"a": 90, "b": 10}), cache)
    sides = names(data)
    assert sum(map(len, sides.values())) == len(set.union(*sides.values())) == 100
    assert Counter(data.test.truth.tolist()) == {0: 14, 1: 2}
    assert Counter(data.val.truth.tolist()) == {0: 9, 1: 1}


def test_the_seed_decides_the_split(tmp_path: Path, cache: PixelCache) -> None:
    root = write_classes(tmp_path / "data", {"a": 30, "b": 30})
    assert names(load(root, cache, seed=1)) == names(load(root, cache, seed=1))
    assert names(load(root, cache, seed=1)) != names(load(root, cache, seed=2))
    fingerprints = {load(root, cache, seed).record.fingerprint for seed in (1, 1, 2)}
    assert len(fingerprints) == 2


def test_identical_images_stay_on_one_side(tmp_path: Path, cache: PixelCache) -> None:
    root = write_classes(tmp_path / "data", {"a": 12, "b": 12})
    for i in range(12):
        for copy in range(3):
            shutil.copy(root / "a" / f"{i:03}.png", root / "a" / f"{i:03}-copy{copy}.png")
    for side in names(load(root, cache)).values():
        originals = Counter(name[:5] for name in side if name.startswith("a/"))
        assert set(originals.values()) == {4}


def test_a_training_image_that_is_tested_on_is_left_out_of_training(
    tmp_path: Path, cache: PixelCache
) -> None:
    write_classes(tmp_path / "data" / "train", {"a": 10, "b": 10})
    write_classes(tmp_path / "data" / "test", {"a": 3, "b": 3}, seed=5)
    shutil.copy(tmp_path / "data/test/a/001.png", tmp_path / "data/train/a/leak.png")
    data = load(tmp_path / "data", cache)
    assert data.left_out == ["train/a/leak.png"]
    assert len(data.test) == 6
    assert "train/a/leak.png" not in names(data)["train"] | names(data)["val"]


def test_given_test_and_val_folders_are_kept(tmp_path: Path, cache: PixelCache) -> None:
    for seed, split in enumerate(("train", "val", "test")):
        write_classes(tmp_path / "data" / split, {"a": 4, "b": 4}, seed=seed)
    data = load(tmp_path / "data", cache)
    for split, held in names(data).items():
        assert held == {f"{split}/{label}/{i:03}.png" for label in "ab" for i in range(4)}


def test_a_class_missing_from_a_split_is_refused(tmp_path: Path, cache: PixelCache) -> None:
    root = write_classes(tmp_path / "data", {"a": 10, "b": 2})
    with pytest.raises(MissingClass, match="'b' \\(2 readable in all\\)"):
        load(root, cache)


def test_an_empty_class_folder_is_refused(tmp_path: Path, cache: PixelCache) -> None:
    root = write_classes(tmp_path / "data", {"a": 10, "b": 10})
    (root / "c").mkdir()
    with pytest.raises(MissingClass, match="'c' \\(0 readable"):
        load(root, cache)


def test_one_class_is_refused(tmp_path: Path, cache: PixelCache) -> None:
    with pytest.raises(MissingClass, match="at least two classes"):
        load(write_classes(tmp_path / "data", {"a": 10}), cache)


def test_nothing_readable_is_refused(tmp_path: Path, cache: PixelCache) -> None:
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "a" / "x.png").write_bytes(b"not an image")
    with pytest.raises(NoImages):
        load(tmp_path / "data", cache)
