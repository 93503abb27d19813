"""Where labelled images come from: folders, or one `.npz` in Keras's own layout."""

import hashlib
import os
import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model_store.errors import InvalidLayout, NoImages
from model_store.pixels.preprocessing import encode_png

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Item:
    """One image, before anybody has looked into it."""

    name: str  # path below the folder with "/", or "x_train[12]"
    label: str | None
    split: str | None  # one of SPLITS where the layout says so


class Source(Protocol):
    """A list of images and the bytes behind each. Methods may be called from several threads."""

    @property
    def items(self) -> Sequence[Item]:
        """Every image, in name order."""
        ...

    @property
    def labels(self) -> Sequence[str]:
        """Every label that the layout names, in output order, with or without images."""
        ...

    def content(self, index: int) -> bytes:
        """Return the bytes that identify image `index`; they may differ from `encoded`."""
        ...

    def encoded(self, index: int) -> bytes:
        """Return image `index` as `preprocess` takes it."""
        ...


@dataclass(frozen=True)
class FolderSource:
    """Image files below one folder."""

    root: Path
    items: Sequence[Item]
    labels: Sequence[str]

    def content(self, index: int) -> bytes:
        """Return the file's bytes."""
        return (self.root / self.items[index].name).read_bytes()

    def encoded(self, index: int) -> bytes:
        """Return the file's bytes."""
        return self.content(index)


@dataclass(frozen=True)
class ArraySource:
    """Images that stand decoded in an array; `preprocess` gets them as PNG."""

    items: Sequence[Item]
    labels: Sequence[str]
    arrays: Sequence[NDArray[np.uint8]]  # one (H, W) per item

    def content(self, index: int) -> bytes:
        """Return shape and pixels, which cost less than an encoding."""
        array = self.arrays[index]
        return f"array {array.shape}\n".encode() + array.tobytes()

    def encoded(self, index: int) -> bytes:
        """Return the array as a lossless PNG."""
        return encode_png(self.arrays[index])


def open_labelled(path: Path) -> Source:
    """Open class folders, `train/` and `test/` with class folders in each, or an `.npz`.

    Raises:
        InvalidLayout: the path is none of these; the message says what was found.
        NoImages: the layout is right and empty.
    """
    if path.suffix == ".npz":
        return _open_npz(path, ("train", "test"))
    if not path.is_dir():
        raise _not_a_source(path)
    splits = [split for split in SPLITS if _class_folders(path / split)]
    if "train" in splits:
        labels = sorted({label for split in splits for label in _class_folders(path / split)})
        items = [item for split in splits for item in _labelled_items(path, split)]
    else:
        labels = _class_folders(path)
        items = list(_labelled_items(path, None))
    if not labels:
        raise InvalidLayout(
            f"Expected one sub-folder per class in {path}, or train/ and test/ with one "
            "sub-folder per class in each. Received: no sub-folders"
        )
    if not items:
        raise NoImages(f"Expected image files in {path}. Received: {len(labels)} empty folders")
    return FolderSource(path, items, labels)


def _not_a_source(path: Path) -> InvalidLayout:
    found = f"the file {path}" if path.exists() else f"{path} does not exist"
    return InvalidLayout(f"Expected a folder or an .npz file. Received: {found}")


def open_unlabelled(path: Path) -> Source:
    """Open every file below a folder, or the `x_test` of an `.npz`, labels unknown."""
    if path.suffix == ".npz":
        return _open_npz(path, ("test",), labelled=False)
    if not path.is_dir():
        raise _not_a_source(path)
    items = [Item(name, None, None) for name in sorted(_files_below(path, path))]
    if not items:
        raise NoImages(f"Expected image files in {path}. Received: none")
    return FolderSource(path, items, ())


def judged_images(source: Source) -> tuple[str, list[int]]:
    """Return the split that a model is judged on and its images: test, or all if there is none."""
    test = [index for index, item in enumerate(source.items) if item.split == "test"]
    return ("test", test) if test else ("all", list(range(len(source.items))))


def content_sha256(source: Source, index: int) -> bytes:
    """Return what identifies the content of image `index`, 32 bytes.

    Raises:
        OSError: it cannot be read.
    """
    return hashlib.sha256(source.content(index)).digest()


def natural_key(name: str) -> list[tuple[int, int]]:
    """Return a sort key under which `img2` comes before `img10`."""
    parts = re.findall(r"[0-9]+|[^0-9]", name)
    return [(ord("0"), int(part)) if part[0] in string.digits else (ord(part), 0) for part in parts]


def _class_folders(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _files_below(folder: Path, root: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith("."):
                yield (Path(parent) / name).relative_to(root).as_posix()


def _labelled_items(root: Path, split: str | None) -> Iterator[Item]:
    top = root / split if split else root
    for label in _class_folders(top):
        for name in sorted(_files_below(top / label, root)):
            yield Item(name, label, split)


def _open_npz(path: Path, splits: Sequence[str], *, labelled: bool = True) -> ArraySource:
    names = [f"x_{s}" for s in splits] + [f"y_{s}" for s in splits if labelled]
    try:
        with np.load(path, allow_pickle=False) as archive:
            if missing := sorted(set(names) - set(archive.files)):
                raise InvalidLayout(
                    f"{path}: expected the arrays {', '.join(names)}. "
                    f"Received: {', '.join(archive.files) or 'none'}"
                )
            arrays = {name: archive[name] for name in names}
            del missing
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise InvalidLayout(
            f"{path}: expected an .npz of plain arrays (pickled objects are refused). "
            f"Received: {type(error).__name__}"
        ) from error
    items: list[Item] = []
    images: list[NDArray[np.uint8]] = []
    classes: set[int] = set()
    for split in splits:
        pixels = _checked_images(f"x_{split}", arrays[f"x_{split}"])
        truth = _checked_labels(split, arrays[f"y_{split}"], len(pixels)) if labelled else None
        classes.update(truth or ())
        images.extend(pixels)
        items.extend(
            Item(f"x_{split}[{i}]", str(truth[i]) if truth else None, split)
            for i in range(len(pixels))
        )
    return ArraySource(items, [str(c) for c in sorted(classes)], images)


def _checked_images(name: str, array: NDArray[np.generic]) -> NDArray[np.uint8]:
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 3 or array.size == 0 or not np.issubdtype(array.dtype, np.integer):
        raise InvalidLayout(
            f"{name}: expected integers of shape (images, height, width). "
            f"Received: {array.dtype} of shape {array.shape}"
        )
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > 255:
        raise InvalidLayout(f"{name}: expected pixels in 0-255. Received: {low} to {high}")
    return array.astype(np.uint8, copy=False)


def _checked_labels(split: str, array: NDArray[np.generic], images: int) -> list[int]:
    flat = array.reshape(-1)
    if flat.size != images or not np.issubdtype(array.dtype, np.integer):
        raise InvalidLayout(
            f"y_{split}: expected one integer label for each of the {images} images. "
            f"Received: {array.dtype} of shape {array.shape}"
        )
    return [int(value) for value in flat]
