"""How a folder of labelled images is laid out: which folders are splits, and which are classes.

Splits go by any of their usual names. A layout that can be understood in one way only is taken,
and said; one that can be understood in two is refused, with the path to give or the name to change.
"""

from collections.abc import Sequence
from pathlib import Path

from model_store.errors import InvalidLayout
from model_store.sources.files import files_below, files_in, folders_in, label_of, printable
from model_store.sources.source import SPLITS

ClassFolders = dict[str | None, list[Path]]  # split -> class folders; under None without splits

_SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval"), "test"),
}
_NAMES_SHOWN = 5


def split_of(name: str) -> str | None:
    """Return which of SPLITS a folder is by its name, in any case, or None."""
    return _SPLIT_NAMES.get(name.lower())


def class_folders_of_splits(root: Path) -> tuple[ClassFolders, list[str]]:
    """Return the class folders of every split, and a sentence for each thing worth saying.

    Raises:
        InvalidLayout: it cannot be told which folders are splits and which are classes.
    """
    notes: list[str] = []
    tops = _tops(root, notes)
    splits: ClassFolders = {split: folders_in(top) for split, top in tops.items()}
    notes += _loose_files(root, list(tops.values()))
    notes += _folders_in_classes(root, [folder for found in splits.values() for folder in found])
    return splits, notes


def _tops(root: Path, notes: list[str]) -> dict[str | None, Path]:
    """Return the folder that holds the class folders of each split, or of all images."""
    folders = folders_in(root)
    if any(split_of(folder.name) for folder in folders):
        return _splits(root, folders, notes)
    nested = next((folder for folder in folders if _holds_splits(folder)), None)
    if nested is None:
        return {None: root}
    if len(folders) > 1:
        raise InvalidLayout(
            f"Expected class folders, or splits with class folders in each, in {root}. Received: "
            f"{_listed(folders)}, of which {nested.name} holds splits itself. Give {nested}"
        )
    notes.append(f"The data set is the folder {printable(nested.name)}, the only one there is.")
    return _tops(nested, notes)


def _splits(root: Path, folders: Sequence[Path], notes: list[str]) -> dict[str | None, Path]:
    found: dict[str | None, Path] = {}
    flat: list[Path] = []
    for folder in folders:
        if (split := split_of(folder.name)) is None:
            continue
        top = _unwrapped(folder, notes)
        if not folders_in(top):
            flat.append(folder)
        elif split in found:
            raise InvalidLayout(
                f"Expected one folder for each split in {root}. Received: two for {split}, "
                f"{folder.name} being the second. Join them, or move one away"
            )
        else:
            found[split] = top
    others = [f for f in folders if split_of(f.name) is None and any(files_below(f))]
    _refuse_doubt(root, found, flat, others)
    if left_out := [*flat, *others]:
        notes.append(f"Left out, for they are no splits with class folders: {_listed(left_out)}.")
    return {split: found[split] for split in SPLITS if split in found}


def _refuse_doubt(
    root: Path, found: dict[str | None, Path], flat: list[Path], others: list[Path]
) -> None:
    """Refuse names of splits that may be names of classes."""
    if not found:
        raise InvalidLayout(
            f"Expected class folders in {_listed(flat)}, for a folder of that name is a split. "
            f"Received: none in {root}. Sort the images into class folders; if it is the name of a "
            "class, rename its folder; if it is neither, move it away"
        )
    if len(found) == 1 and others:
        (split,) = found.values()
        raise InvalidLayout(
            f"Expected either splits or classes in {root}. Received: {split.name}, which is named "
            f"like a split, beside {_listed(others)}. If {split.name} is a class, rename its "
            f"folder; if not, move the others away, or give {split}"
        )


def _unwrapped(folder: Path, notes: list[str]) -> Path:
    """Return the folder that holds the class folders of a split: itself, or `train/train`."""
    below = folders_in(folder)
    named = [inner for inner in below if split_of(inner.name)]
    if not named:
        return folder
    if len(below) == 1 and split_of(below[0].name) == split_of(folder.name):
        notes.append(f"The classes of {folder.name} are the folders in its {below[0].name}.")
        return _unwrapped(below[0], notes)
    raise InvalidLayout(
        f"Expected class folders in {folder}. Received: {_listed(named)}, named like splits. If "
        f"these are the splits, give {folder}; if they are classes, rename their folders"
    )


def _holds_splits(folder: Path) -> bool:
    below = folders_in(folder)
    if any(split_of(inner.name) and folders_in(inner) for inner in below):
        return True
    return len(below) == 1 and _holds_splits(below[0])


def _loose_files(root: Path, tops: list[Path]) -> list[str]:
    above = [parent for top in tops for parent in top.parents if parent.is_relative_to(root)]
    loose = [file for folder in sorted({root, *above, *tops}) for file in files_in(folder)]
    if not loose:
        return []
    return [f"Left out, for they are in no class folder: {_listed(loose, root)}."]


def _folders_in_classes(root: Path, classes: list[Path]) -> list[str]:
    """Say of which folders it may be thought that they mean something, and they do not."""
    notes = []
    splits = [f for folder in classes for f in folders_in(folder) if split_of(f.name)]
    if splits:
        notes.append(f"Not taken as splits, for they are in classes: {_listed(splits, root)}.")
    if len({label_of(folder.name) for folder in classes}) == 1 and (
        below := folders_in(classes[0])
    ):
        notes.append(
            f"The only class is {label_of(classes[0].name)}. If the folders in it are the classes "
            f"({_listed(below)}), give that folder."
        )
    return notes


def _listed(paths: Sequence[Path], root: Path | None = None) -> str:
    """Return the first few names of `paths`, or where they are below `root`."""
    names = [path.relative_to(root).as_posix() if root else path.name for path in paths]
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return printable(", ".join(names[:_NAMES_SHOWN]) + more)
