"""Images in folders: files below one folder, with or without class folders."""

from pathlib import Path

from model_store.errors import InvalidLayout, NoImages
from model_store.sources.files import files_below, files_in, is_image_file, label_of, printable
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
            f"sub-folder per class in each. Received: no sub-folders{_images_instead(root)}"
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


def _images_instead(root: Path) -> str:
    """Return what to do where a folder of one class was given, or one of all images together."""
    images = sum(map(is_image_file, files_in(root)))
    if not images:
        return ""
    return (
        f", but image files: {images}. If they are all of one class, give the folder above; if "
        "not, sort them into a sub-folder for each"
    )


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
