"""Where labelled images come from: folders, or one `.npz` in Keras's own layout."""

from pathlib import Path

from model_store.errors import InvalidLayout
from model_store.sources.arrays import open_npz
from model_store.sources.files import label_of
from model_store.sources.folders import open_class_folders, open_files
from model_store.sources.source import (
    SPLITS,
    Item,
    Source,
    content_sha256,
    image_indices,
    judged_images,
    natural_key,
)

__all__ = [
    "SPLITS",
    "Item",
    "Source",
    "content_sha256",
    "image_indices",
    "judged_images",
    "label_of",
    "natural_key",
    "open_labelled",
    "open_unlabelled",
]


def open_labelled(path: Path) -> Source:
    """Open class folders, folders of splits with class folders in each, or an `.npz`.

    Raises:
        InvalidLayout: the path is none of these; the message says what was found.
        NoImages: the layout is right and empty.
    """
    if path.suffix.lower() == ".npz":
        return open_npz(path, ("train", "test"))
    if not path.is_dir():
        raise _not_a_source(path, "a folder or an .npz file")
    return open_class_folders(path)


def open_unlabelled(path: Path) -> Source:
    """Open a file, every file below a folder, or the `x_test` of an `.npz`, labels unknown.

    Raises:
        InvalidLayout: the path is none of these.
        NoImages: the folder holds no file.
    """
    if path.suffix.lower() == ".npz":
        return open_npz(path, ("test",), labelled=False)
    if not (path.is_file() or path.is_dir()):
        raise _not_a_source(path, "an image, a folder or an .npz file")
    return open_files(path)


def _not_a_source(path: Path, expected: str) -> InvalidLayout:
    found = f"the file {path}" if path.exists() else f"{path} does not exist"
    return InvalidLayout(f"Expected {expected}. Received: {found}")
