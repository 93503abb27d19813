"""What stands in folders beside plain files: links, pipes, and names that are no single line."""

import os
from pathlib import Path

import pytest
from class_folders import write_classes

from model_store.sources import open_labelled, open_unlabelled


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_classes(tmp_path / "images", {"a": 3, "b": 3})


def names(root: Path, label: str) -> list[str]:
    return [item.name for item in open_labelled(root).items if item.label == label]


@pytest.fixture
def elsewhere(root: Path) -> Path:
    return write_classes(root.parent, {"elsewhere": 2}) / "elsewhere"


def test_folders_that_are_links_are_followed(root, elsewhere):
    (root / "a" / "more").symlink_to(elsewhere)
    (root / "c").symlink_to(elsewhere)

    assert names(root, "a")[-2:] == ["a/more/000.png", "a/more/001.png"]
    assert names(root, "c") == ["c/000.png", "c/001.png"]


@pytest.mark.parametrize("target", [".", "..", "../..", "../b"])
def test_links_in_a_circle_end_and_give_each_image_once(root, target):
    (root / "a" / "loop").symlink_to(target)
    (root / "b" / "back").symlink_to("../a")

    assert len(names(root, "a")) == (6 if target == "../b" else 3)
    assert len(names(root, "b")) == 6
    assert len(open_unlabelled(root).items) == 6


def test_two_links_to_one_folder_are_one(root, elsewhere):
    for name in ("one", "two"):
        (root / "a" / name).symlink_to(elsewhere)
    assert len(names(root, "a")) == 5


@pytest.mark.parametrize("name", ["pipe.png", "pipe"])
def test_a_pipe_is_not_waited_for(root, name):
    os.mkfifo(root / "a" / name)
    source = open_labelled(root)
    at = [item.name for item in source.items].index(f"a/{name}")

    for read in (source.content, source.encoded):
        with pytest.raises(OSError, match="no regular file"):
            read(at)
    if name == "pipe":
        with pytest.raises(OSError, match="no regular file"):
            source.is_image(at)


def test_control_characters_are_escaped_in_names_and_labels(root):
    (root / "b").rename(root / "new\nline\x1b[2J")
    source = open_labelled(root)
    assert source.labels == ["a", r"new\x0aline\x1b[2J"]
    assert source.items[-1].name == r"new\x0aline\x1b[2J/002.png"
