"""Models in a folder.

    casting/1/, casting/2/ …   immutable bundles; a number is never given twice
    casting/current.json       the version to serve, and the one before it
    casting/.last-version      the highest number ever given
    casting/.lock              held while anything above changes
    casting/.draft-…/          a bundle that is being made; swept when its maker is dead

Reading takes no lock and writes nothing, so a store can be mounted read-only.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_store.bundle import Bundle, read_bundle
from model_store.errors import StoreDamaged, VersionNotFound
from model_store.manifest import Manifest
from model_store.store.current import (
    CurrentVersion,
    Pointers,
    make_current,
    read_current,
    read_current_if_sound,
)
from model_store.store.durable import (
    exclusive,
    explaining_errors,
    sync_folder,
    sync_tree,
)
from model_store.store.layout import (
    complete_versions,
    give_version,
    is_name,
    subfolders,
    write_manifest,
)
from model_store.store.staging import LOCK_FILE, staging


class FolderStorage:
    """All models below the folder `root`, which need not exist yet; see `Storage`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[str]:
        """Return the names of all models with at least one version, sorted."""
        return sorted(path.name for path in subfolders(self._root) if _is_model(path))

    def versions(self, name: str) -> list[int]:
        """Return the complete versions of a model, ascending; none if there is no such model."""
        return complete_versions(self._root / name)

    def current(self, name: str) -> CurrentVersion | None:
        """Return which version serves; see `read_current`."""
        return read_current(self._root / name)

    def pointers(self) -> Pointers:
        """Return which version of each model serves."""
        found: dict[str, CurrentVersion] = {}
        damaged: dict[str, str] = {}
        for name in self.names():
            try:
                current = self.current(name)
            except StoreDamaged as error:  # one damaged model must not hide the others
                damaged[name] = str(error)
            else:
                if current is not None:
                    found[name] = current
        return Pointers(found, damaged)

    def make_current(self, name: str, number: int) -> CurrentVersion:
        """Replace `current.json`; see `Storage`."""
        with self._changing(name) as folder:
            if number not in complete_versions(folder):
                raise VersionNotFound(f"{name} has no version {number} any more")
            return make_current(folder, number)

    def bundle(self, name: str, number: int, *, afresh: bool) -> Bundle | None:  # noqa: ARG002  # nothing is cached
        """Read the manifest of one version; None: there is no such version."""
        if number not in self.versions(name):
            return None
        return read_bundle(self._root / name / str(number))

    @contextmanager
    def draft(self, name: str) -> Iterator[Path]:
        """Give a folder beside the versions; see `Storage`."""
        folder = self._root / name
        if folder.is_symlink():
            raise StoreDamaged(f"{folder} is a link; links are not followed")
        with staging(folder) as draft:
            yield draft

    def add(self, name: str, draft: Path, manifest: Manifest, *, promote: bool) -> int:
        """Rename a draft to the next number; see `Storage`."""
        sync_tree(draft)
        with self._changing(name) as folder:
            number = give_version(folder)
            write_manifest(draft, manifest.model_copy(update={"version": number}))
            _move_in(draft, folder, number, promote=promote)
        return number

    @contextmanager
    def _changing(self, name: str) -> Iterator[Path]:
        folder = self._root / name
        with explaining_errors(f"write to {folder}"), exclusive(folder / LOCK_FILE):
            yield folder


def _is_model(folder: Path) -> bool:
    return is_name(folder.name) and bool(complete_versions(folder))


def _move_in(draft: Path, model: Path, number: int, *, promote: bool) -> None:
    final = model / str(number)
    os.rename(draft, final)
    try:
        sync_folder(model)
        if promote:
            make_current(model, number)
    except OSError:
        current = read_current_if_sound(model)
        if current is None or current.version != number:
            os.rename(final, draft)  # leave no version behind whose publishing failed
        raise
