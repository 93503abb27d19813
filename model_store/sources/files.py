"""Which files and folders below a folder count, and how their names are written."""

import errno
import mimetypes
import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from model_store.pixels.formats import FIRST_BYTES, format_of
from model_store.spec import ALL_FORMATS

# What Windows, macOS and network drives leave in folders; hidden files are junk by their first dot.
_JUNK = {"thumbs.db", "desktop.ini", "__macosx", "@eadir"}

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


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
    return format_of(read_file(file, FIRST_BYTES)) in ALL_FORMATS


def read_file(file: Path, most: int = -1) -> bytes:
    """Return the content of a file, or its first `most` bytes.

    Raises:
        OSError: it cannot be read, or is a pipe or another thing that could be waited for in vain.
    """
    if not stat.S_ISREG(file.stat().st_mode):
        raise OSError(errno.EINVAL, "It is no regular file", str(file))
    with file.open("rb") as opened:
        return opened.read(most)


def printable(name: str) -> str:
    r"""Return a name or path as one line that any file takes.

    Control characters, and bytes that are no UTF-8, are written as `\x0a` and `\xe9`.
    """
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


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
    """Yield every file at any depth below `folder`, links to folders followed, each folder once.

    Raises:
        OSError: a folder cannot be listed.
    """
    top = folder.resolve()
    # What leads back up has no end, and what was seen is there already.
    known = {_identity(above) for above in (top, *top.parents)}

    def is_new(below: Path) -> bool:
        before = len(known)
        known.add(_identity(below))
        return len(known) > before

    for parent, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        folders[:] = [n for n in folders if not is_junk(n) and is_new(Path(parent, n))]
        yield from (Path(parent, name) for name in files if not is_junk(name))


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not is_junk(path.name))


def _refuse(error: OSError) -> None:
    # os.walk would pass over it, and a class would seem to be empty.
    raise error
