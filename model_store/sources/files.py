"""Which files and folders below a folder count, and how their names are written."""

import mimetypes
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from model_store.pixels.formats import FIRST_BYTES, format_of
from model_store.spec import ALL_FORMATS

# What Windows, macOS and network drives leave in folders; hidden files are junk by their first dot.
_JUNK = {"thumbs.db", "desktop.ini", "__macosx", "@eadir"}


def is_junk(name: str) -> bool:
    """Tell whether a file or folder is something that a system left there, never data."""
    return name.startswith(".") or name.lower() in _JUNK


def is_image_file(file: Path) -> bool:
    """Tell whether a file is named or begins like an image, be it broken or of another format.

    Raises:
        OSError: it cannot be read.
    """
    kind, _ = mimetypes.guess_type(f"name{file.suffix}", strict=False)
    if kind is not None and kind.startswith("image/"):
        return True
    with file.open("rb") as opened:
        return format_of(opened.read(FIRST_BYTES)) in ALL_FORMATS


def printable(name: str) -> str:
    r"""Return a name or path as text that any file takes: bytes that are no UTF-8 as `\xe9`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def label_of(name: str) -> str:
    """Return the label that a folder of that name stands for: printable, in Unicode's form NFC.

    The same name is stored as NFC by most systems and as NFD by some.
    """
    return unicodedata.normalize("NFC", printable(name))


def folders_in(folder: Path) -> list[Path]:
    """Return the folders directly in `folder`, in name order; none if it is no folder."""
    return [path for path in _entries(folder) if path.is_dir()]


def files_in(folder: Path) -> list[Path]:
    """Return the files directly in `folder`, in name order; none if it is no folder."""
    return [path for path in _entries(folder) if not path.is_dir()]


def files_below(folder: Path) -> Iterator[Path]:
    """Yield every file at any depth below `folder`.

    Raises:
        OSError: a folder cannot be listed.
    """
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not is_junk(name)]
        yield from (Path(parent, name) for name in files if not is_junk(name))


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not is_junk(path.name))


def _refuse(error: OSError) -> None:
    # os.walk would pass over it, and a class would seem to be empty.
    raise error
