import shutil
from collections import Counter

import numpy as np
import pytest
from class_folders import write_classes
from data_sets import split

from model_store.errors import NoImages
from training.data.dataset import TEST_SHARE, VAL_SHARE, Dataset
from training.errors import MissingClass


def names(data: Dataset) -> dict[str, set[str]]:
    parts = (data.train, data.val, data.test)
    return {part.name: {item.name for item in part.items} for part in parts}


def test_drawn_splits_are_disjoint_complete_and_of_the_size_they_should_be(tmp_path, cache):
    data = split(write_classes(tmp_path / "data", {"a": 600, "b": 200}), cache)
    sides = names(data)
    assert sum(map(len, sides.values())) == len(set.union(*sides.values())) == 800
    for part, share in ((data.test, TEST_SHARE), (data.val, VAL_SHARE)):
        drawn, of_each = np.bincount(part.truth), np.array([600, 200])
        deviation = np.sqrt(of_each * share * (1 - share))
        assert (np.abs(drawn - share * of_each) < 3 * deviation).all()


@pytest.mark.parametrize("count", [3, 4, 8])
def test_small_classes_are_on_every_side(tmp_path, cache, count):
    root = write_classes(tmp_path / "data", {"a": 50, "b": count})
    for seed in range(8):
        data = split(root, cache, seed)
        assert all(1 in part.truth for part in (data.train, data.val, data.test))


def test_an_image_keeps_its_side_when_the_folder_grows(tmp_path, cache):
    """As far as every class had images on each side by lot."""
    root = write_classes(tmp_path / "data", {"a": 60, "b": 60})
    before = names(split(root, cache))
    more = write_classes(tmp_path / "more", {"a": 90, "b": 30, "c": 25}, seed=5)
    for path in more.rglob("*.png"):  # some names come before the old ones, some after
        (root / path.parent.name).mkdir(exist_ok=True)
        path.rename(root / path.parent.name / f"{'az'[len(path.stem) % 2]}-{path.name}")
    (root / "a" / "000.png").rename(root / "a" / "renamed.png")
    (root / "b" / "007.png").unlink()
    after = names(split(root, cache))

    assert len(set.union(*after.values())) == 264
    moved = {"a/000.png", "b/007.png"}
    for side, held in before.items():
        assert held - moved <= after[side]
    (side,) = (side for side, held in before.items() if "a/000.png" in held)
    assert "a/renamed.png" in after[side]


def test_the_seed_decides_the_split(tmp_path, cache):
    root = write_classes(tmp_path / "data", {"a": 30, "b": 30})
    assert names(split(root, cache, seed=1)) == names(split(root, cache, seed=1))
    assert names(split(root, cache, seed=1)) != names(split(root, cache, seed=2))
    fingerprints = {split(root, cache, seed).record.fingerprint for seed in (1, 1, 2)}
    assert len(fingerprints) == 2


def test_identical_images_stay_on_one_side(tmp_path, cache):
    root = write_classes(tmp_path / "data", {"a": 12, "b": 12})
    for i in range(12):
        for copy in range(3):
            shutil.copy(root / "a" / f"{i:03}.png", root / "a" / f"{i:03}-copy{copy}.png")
    for side in names(split(root, cache)).values():
        originals = Counter(name[:5] for name in side if name.startswith("a/"))
        assert set(originals.values()) == {4}


def test_a_training_image_that_is_tested_on_is_left_out_of_training(tmp_path, cache):
    write_classes(tmp_path / "data" / "train", {"a": 10, "b": 10})
    write_classes(tmp_path / "data" / "test", {"a": 3, "b": 3}, seed=5)
    shutil.copy(tmp_path / "data/test/a/001.png", tmp_path / "data/train/a/leak.png")
    data = split(tmp_path / "data", cache)
    assert data.left_out == ["train/a/leak.png"]
    assert "left out of training: train/a/leak.png." in data.warnings()[0]
    assert len(data.test) == 6
    assert "train/a/leak.png" not in names(data)["train"] | names(data)["val"]


def test_given_test_and_val_folders_are_kept(tmp_path, cache):
    for seed, side in enumerate(("train", "val", "test")):
        write_classes(tmp_path / "data" / side, {"a": 4, "b": 4}, seed=seed)
    for side, held in names(split(tmp_path / "data", cache)).items():
        assert held == {f"{side}/{label}/{i:03}.png" for label in "ab" for i in range(4)}


def test_one_class_or_nothing_readable_is_refused(tmp_path, cache):
    with pytest.raises(MissingClass, match="at least two classes"):
        split(write_classes(tmp_path / "one", {"a": 10}), cache)
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "a" / "x.png").write_bytes(b"not an image")
    with pytest.raises(NoImages):
        split(tmp_path / "data", cache)
