"""Where things lie in a model's folder, and which version numbers were ever given there."""

import os
from pathlib import Path

from model_store.errors import InvalidName, StoreDamaged
from model_store.manifest import MANIFEST_FILE, Manifest, check_name
from model_store.manifest_file import encode_manifest
from model_store.store.current import read_current_if_sound
from model_store.store.durable import write_atomically

_LAST_VERSION_FILE = ".last-version"


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in `folder`, links excepted; none if it does not exist.

    Raises:
        StoreDamaged: it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            return [Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreDamaged(f"Cannot read {folder}: {error.strerror}") from error


def is_name(name: str) -> bool:
    """Return whether a model can be called so."""
    try:
        check_name(name)
    except InvalidName:
        return False
    return True


def complete_versions(model: Path) -> list[int]:
    """Return the versions that have a manifest, ascending."""
    return sorted(int(path.name) for path in _numbered(model) if (path / MANIFEST_FILE).is_file())


def give_version(model: Path) -> int:
    """Return a number that no version ever had, and remember it before it is used."""
    given = [_read_last_version(model), *(int(path.name) for path in _numbered(model))]
    if (current := read_current_if_sound(model)) is not None:
        given += [current.version, current.previous or 0]
    number = max(given) + 1
    write_atomically(model / _LAST_VERSION_FILE, f"{number}\n".encode())
    return number


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json`, durably."""
    write_atomically(folder / MANIFEST_FILE, encode_manifest(manifest))


def _numbered(model: Path) -> list[Path]:
    if model.is_symlink() or not model.is_dir():
        return []
    return [path for path in subfolders(model) if is_number(path.name)]


def is_number(name: str) -> bool:
    """Tell whether a folder's name is that of a version."""
    return name.isascii() and name.isdigit() and not name.startswith("0")


def _read_last_version(model: Path) -> int:
    try:
        return int((model / _LAST_VERSION_FILE).read_text())
    except (OSError, ValueError):
        return 0
