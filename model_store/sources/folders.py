"""Images in folders: files below one folder, with or without class folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model_store.errors import InvalidLayout, NoImages
from model_store.sources.files import files_below, is_image_file, label_of, printable
from model_store.sources.layout import class_folders_of_splits
from model_store.sources.source import Item


@dataclass(frozen=True)
class FolderSource:
    """Image files below one folder."""

    items: Sequence[Item]
    labels: Sequence[str]
    files: Sequence[Path]  # one per item
    notes: Sequence[str] = ()

    def is_image(self, index: int) -> bool:
        """Tell whether the file is named or begins like an image."""
        return is_image_file(self.files[index])

    def content(self, index: int) -> bytes:
        """Return the file's bytes."""
        return self.files[index].read_bytes()

    def encoded(self, index: int) -> bytes:
        """Return the file's bytes."""
        return self.content(index)

    def part(self, chosen: Sequence[int]) -> "FolderSource":
        """Return the images at `chosen` alone."""
        return FolderSource([self.items[i] for i in chosen], (), [self.files[i] for i in chosen])


def open_class_folders(root: Path) -> FolderSource:
    """Open the files in class folders, or in splits with class folders in each.

    Raises:
        InvalidLayout: there are no class folders, or which they are cannot be told.
        NoImages: all of them are empty.
    """
    splits, notes = class_folders_of_splits(root)
    labels = sorted({label_of(folder.name) for folders in splits.values() for folder in folders})
    if not labels:
        raise InvalidLayout(
            f"Expected one sub-folder per class in {root}, or train/ and test/ with one "
            "sub-folder per class in each. Received: no sub-folders"
        )
    found = [
        (file, Item(_name(file, root), label_of(folder.name), split))
        for split, folders in splits.items()
        for folder in folders
        for file in sorted(files_below(folder))
    ]
    if not found:
        raise NoImages(f"Expected image files in {root}. Received: {len(labels)} empty folders")
    return FolderSource([item for _, item in found], labels, [file for file, _ in found], notes)


def open_files(root: Path) -> FolderSource:
    """Open every file below a folder, labels unknown.

    Raises:
        NoImages: there is none.
    """
    files = sorted(files_below(root), key=lambda file: _name(file, root))
    if not files:
        raise NoImages(f"Expected image files in {root}. Received: none")
    return FolderSource([Item(_name(file, root), None, None) for file in files], (), files)


def open_file(file: Path) -> FolderSource:
    """Open one file, its label unknown."""
    return FolderSource([Item(_name(file, file.parent), None, None)], (), [file])


def _name(file: Path, root: Path) -> str:
    return printable(file.relative_to(root).as_posix())
