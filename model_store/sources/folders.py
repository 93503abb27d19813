"""Images in folders: files below one folder, with or without class folders."""

from pathlib import Path

from model_store.errors import InvalidLayout, NoImages
from model_store.sources.files import files_below, label_of, printable
from model_store.sources.layout import class_folders_of_splits
from model_store.sources.source import Item, Source


def open_class_folders(root: Path) -> Source:
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
    items = [
        Item(_name(file, root), label_of(folder.name), split, file)
        for split, folders in splits.items()
        for folder in folders
        for file in sorted(files_below(folder))
    ]
    if not items:
        raise NoImages(f"Expected image files in {root}. Received: {len(labels)} empty folders")
    return Source(items, labels, notes)


def open_files(root: Path) -> Source:
    """Open one file, or every file below a folder, labels unknown.

    Raises:
        NoImages: there is none.
    """
    if root.is_file():
        return Source([Item(printable(root.name), None, None, root)])
    items = [Item(_name(file, root), None, None, file) for file in files_below(root)]
    if not items:
        raise NoImages(f"Expected image files in {root}. Received: none")
    return Source(sorted(items, key=lambda item: item.name))


def _name(file: Path, root: Path) -> str:
    return printable(file.relative_to(root).as_posix())
