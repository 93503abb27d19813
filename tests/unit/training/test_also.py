"""Images that only train: corrected ones beside a data set."""

import shutil

import pytest
from class_folders import write_classes
from data_sets import look, split

from app.feedback import FeedbackFolder
from model_store.errors import InvalidLayout, NoImages
from model_store.sources import open_labelled
from training.data.also import with_more
from training.data.dataset import Dataset


def held_out(data: Dataset) -> list[list[str]]:
    return [[item.name for item in part.items] for part in (data.val, data.test)]


@pytest.mark.parametrize("has_splits", [False, True])
def test_more_images_train_and_leave_validation_and_test_as_they_are(
    tmp_path, cache, *, has_splits
):
    root = tmp_path / "data"
    for side in ("train", "test") if has_splits else (".",):
        write_classes(root / side, {"a": 40, "b": 40}, seed=len(side))
    also = write_classes(tmp_path / "feedback", {"a": 30, "b": 1}, seed=9)
    before, after = split(root, cache), split(root, cache, also=also)

    assert held_out(after) == held_out(before)
    added = {item.name for item in after.train.items} - {item.name for item in before.train.items}
    assert len(added) == 31
    assert all(name.startswith("feedback/") for name in added)


def test_image_that_is_held_out_does_not_come_back_as_feedback(tmp_path, cache):
    root = write_classes(tmp_path / "data", {"a": 40, "b": 40})
    tested = split(root, cache).test.items[0].name
    corrected = tmp_path / "feedback" / "b" / "corrected.png"
    corrected.parent.mkdir(parents=True)
    shutil.copy(root / tested, corrected)
    data = split(root, cache, also=tmp_path / "feedback")

    assert data.left_out == ["feedback/b/corrected.png"]
    assert tested in [item.name for item in data.test.items]


def test_folder_of_the_service_is_read_below_the_models_name(tmp_path, cache):
    root = write_classes(tmp_path / "data", {"a": 20, "b": 20})
    write_classes(tmp_path / "feedback" / "toy", {"a": 3}, seed=9)
    write_classes(tmp_path / "feedback" / "other", {"x": 3}, seed=9)
    data = split(root, cache, also=tmp_path / "feedback")

    assert len(data.train) == len(split(root, cache).train) + 3


def test_folder_of_the_service_without_this_model_is_not_taken_for_class_folders(tmp_path):
    root = write_classes(tmp_path / "data", {"a": 3, "b": 3})
    FeedbackFolder(tmp_path / "feedback", 1000)
    write_classes(tmp_path / "feedback" / "a", {"x": 3})  # a model called as a class is

    with pytest.raises(NoImages, match=r"images for toy in .*feedback.* none so far"):
        with_more(open_labelled(root), tmp_path / "feedback", "toy")


def test_other_classes_are_refused_by_name(tmp_path):
    root = write_classes(tmp_path / "data", {"a": 3, "b": 3})
    also = write_classes(tmp_path / "feedback", {"a": 1, "c": 1})

    with pytest.raises(InvalidLayout, match="classes c too"):
        with_more(open_labelled(root), also, "toy")


def test_check_sees_contradictions_between_the_two(tmp_path, cache):
    root = write_classes(tmp_path / "data", {"a": 20, "b": 20})
    (tmp_path / "feedback" / "b").mkdir(parents=True)
    shutil.copy(root / "a" / "000.png", tmp_path / "feedback" / "b" / "x.png")
    findings = look(root, cache, also=tmp_path / "feedback")

    assert findings.contradictions == [["a/000.png", "feedback/b/x.png"]]
