"""A folder of models and their versions: publish atomically, promote, roll back.

    casting/1/, casting/2/ …   immutable bundles; a number is never given twice
    casting/current.json       the version to serve, and the one before it
    casting/.last-version      the highest number ever given
    casting/.lock              held while anything above changes
    casting/.draft-…/          a bundle that is being made; swept when its maker is dead

Reading takes no lock and writes nothing, so a store can be mounted read-only.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model_store.bundle import Bundle, read_bundle, record_files
from model_store.durable import (
    TEMPORARY_PREFIX,
    exclusive,
    explaining_errors,
    hold_folder,
    make_folder,
    sync_folder,
    sync_tree,
    write_atomically,
)
from model_store.errors import (
    CorruptBundle,
    InvalidName,
    ModelNotFound,
    StoreDamaged,
    VersionNotFound,
)
from model_store.libraries import library_versions
from model_store.manifest import (
    MANIFEST_FILE,
    BundleContents,
    Manifest,
    check_name,
    encode_manifest,
)
from model_store.verification import verify

CURRENT_FILE = "current.json"
_LAST_VERSION_FILE = ".last-version"
_LOCK_FILE = ".lock"
_DRAFT_PREFIX = ".draft-"


class CurrentVersion(BaseModel):
    """What `current.json` says."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: int = Field(ge=1)
    previous: int | None = Field(ge=1)
    promoted_at: datetime = Field(strict=False)


class Draft:
    """A bundle in the making: fill `folder`, then publish it."""

    def __init__(self, store: "ModelStore", name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self._store = store

    def publish(self, contents: BundleContents) -> Bundle:
        """Verify what `folder` holds, give it the next version number, and make it current.

        Args:
            contents: what the maker says of it; identity and hashes are added.

        Raises:
            BundleError: it would not pass when opened; the store is unchanged.
            StoreUnwritable: no space or no permission; the store is unchanged.
        """
        return self._store._publish(self, contents)


class ModelStore:
    """All models below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """Return the names of all models with at least one version, sorted."""
        return sorted(path.name for path in _folders(self.root) if self._is_model(path.name))

    def versions(self, name: str) -> list[int]:
        """Return the complete versions of a model, ascending; none if there is no such model."""
        numbers = (
            int(path.name)
            for path in self._version_folders(name)
            if _is_number(path.name) and (path / MANIFEST_FILE).is_file()
        )
        return sorted(numbers)

    def current(self, name: str) -> CurrentVersion | None:
        """Return which version serves, or None if nothing was ever promoted.

        Raises:
            StoreDamaged: `current.json` cannot be understood.
        """
        path = self.root / check_name(name) / CURRENT_FILE
        try:
            if path.is_symlink() or path.parent.is_symlink():
                raise StoreDamaged(f"{name}/{CURRENT_FILE}: links are not followed")
            return CurrentVersion.model_validate_json(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValidationError) as error:
            raise StoreDamaged(
                f"{name}/{CURRENT_FILE} cannot be understood; write it again with "
                f"'python -m model_store promote {name} VERSION'"
            ) from error

    def latest(self) -> str | None:
        """Return the name of the model that was promoted last."""
        promoted = [
            (current.promoted_at, name)
            for name in self.names()
            if (current := self.current(name)) is not None
        ]
        return max(promoted)[1] if promoted else None

    def bundle(self, name: str, version: int | None = None) -> Bundle:
        """Read the manifest of one version.

        Args:
            name: a model.
            version: None: the current one.

        Raises:
            ModelNotFound: no such model, or it has no current version.
            VersionNotFound: no such version.
            InvalidManifest: its manifest is invalid.
            CorruptBundle: its manifest belongs to another bundle.
        """
        if version is None:
            version = self._current_or_raise(name).version
        self._require_version(name, version)
        bundle = read_bundle(self.root / name / str(version))
        stated = (bundle.manifest.name, bundle.manifest.version)
        if stated != (name, version):
            raise CorruptBundle(
                f"Expected the manifest of {name} {version}. Received: {stated[0]} {stated[1]}"
            )
        return bundle

    @contextmanager
    def draft(self, name: str) -> Iterator[Draft]:
        """Give a folder to build the next version of `name` in; it is gone unless published.

        Raises:
            InvalidName: `name` cannot name a model.
            StoreUnwritable: the store cannot be written.
        """
        folder = self.root / check_name(name)
        with explaining_errors(f"write to {folder}"):
            make_folder(folder)
            self._refuse_links(name)
            with exclusive(folder / _LOCK_FILE):
                _sweep(folder)
                draft = folder / f"{_DRAFT_PREFIX}{secrets.token_hex(8)}"
                draft.mkdir()
                held = hold_folder(draft)
        try:
            yield Draft(self, name, draft)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            if held is not None:
                os.close(held)

    def promote(self, name: str, version: int) -> CurrentVersion:
        """Verify a version and make it the current one.

        Raises:
            ModelNotFound, VersionNotFound: there is none.
            BundleError, EngineUnavailable: it must not or cannot serve.
            StoreUnwritable: the store cannot be written.
        """
        verify(self.bundle(name, version))
        with self._changing(name) as folder:
            self._require_version(name, version)
            return self._make_current(folder, name, version)

    def rollback(self, name: str) -> CurrentVersion:
        """Verify the version that served before, and swap it with the current one.

        Raises:
            VersionNotFound: no version served before.
            Others as `promote`.
        """
        previous = self._current_or_raise(name).previous
        if previous is None:
            raise VersionNotFound(f"{name} has no previous version to roll back to")
        return self.promote(name, previous)

    def _publish(self, draft: Draft, contents: BundleContents) -> Bundle:
        with explaining_errors(f"publish {draft.name}"):
            manifest = self._manifest(draft, contents)
            self._write_manifest(draft.folder, manifest)
            sync_tree(draft.folder)
            verify(read_bundle(draft.folder))
            with self._changing(draft.name) as folder:
                number = self._next_version(folder, draft.name)
                self._write_manifest(draft.folder, manifest.model_copy(update={"version": number}))
                self._move_in(draft, folder, number)
        return self.bundle(draft.name, number)

    def _move_in(self, draft: Draft, folder: Path, number: int) -> None:
        final = folder / str(number)
        os.rename(draft.folder, final)
        try:
            sync_folder(folder)
            self._make_current(folder, draft.name, number)
        except OSError:
            os.rename(final, draft.folder)  # leave no version behind that was never promoted
            raise

    def _manifest(self, draft: Draft, contents: BundleContents) -> Manifest:
        (draft.folder / MANIFEST_FILE).unlink(missing_ok=True)
        fields = {name: getattr(contents, name) for name in BundleContents.model_fields}
        return Manifest(
            **fields,
            schema_version=1,
            name=draft.name,
            version=1,  # the number is given when everything else is done
            created_at=datetime.now(UTC),
            libraries=library_versions(),
            files=record_files(draft.folder),
        )

    def _write_manifest(self, folder: Path, manifest: Manifest) -> None:
        write_atomically(folder / MANIFEST_FILE, encode_manifest(manifest))

    @contextmanager
    def _changing(self, name: str) -> Iterator[Path]:
        folder = self.root / name
        with explaining_errors(f"write to {folder}"), exclusive(folder / _LOCK_FILE):
            yield folder

    def _next_version(self, folder: Path, name: str) -> int:
        """Give the next number, and remember it before it is used."""
        given = [*self.versions(name), _read_last_version(folder)]
        # A folder without a manifest, or numbers that only current.json remembers, count too.
        given += [int(path.name) for path in self._version_folders(name) if _is_number(path.name)]
        if (current := self._current_or_none(name)) is not None:
            given += [current.version, current.previous or 0]
        number = max(given) + 1
        write_atomically(folder / _LAST_VERSION_FILE, f"{number}\n".encode())
        return number

    def _make_current(self, folder: Path, name: str, number: int) -> CurrentVersion:
        before = self._current_or_none(name)
        if before is not None and before.version == number:
            previous = before.previous
        else:
            previous = before.version if before is not None else None
        now = datetime.now(UTC)
        if before is not None:  # a clock that was set back must not undo an order
            now = max(now, before.promoted_at + timedelta(microseconds=1))
        current = CurrentVersion(version=number, previous=previous, promoted_at=now)
        write_atomically(folder / CURRENT_FILE, current.model_dump_json().encode() + b"\n")
        return current

    def _current_or_none(self, name: str) -> CurrentVersion | None:
        try:
            return self.current(name)
        except StoreDamaged:
            return None

    def _current_or_raise(self, name: str) -> CurrentVersion:
        current = self.current(name)
        if current is not None:
            return current
        if versions := self.versions(name):
            raise ModelNotFound(
                f"{name} has no current version; promote one of {_listed(versions)}"
            )
        raise ModelNotFound(f"No model {name!r} in {self.root}. {self._what_there_is()}")

    def _what_there_is(self) -> str:
        names = self.names()
        return f"There are: {_listed(names)}" if names else "The store is empty"

    def _require_version(self, name: str, version: int) -> None:
        versions = self.versions(name)
        if not versions:
            raise ModelNotFound(f"No model {name!r} in {self.root}. {self._what_there_is()}")
        if version not in versions:
            raise VersionNotFound(f"{name} has no version {version}, only {_listed(versions)}")

    def _version_folders(self, name: str) -> list[Path]:
        folder = self.root / check_name(name)
        return _folders(folder) if folder.is_dir() and not folder.is_symlink() else []

    def _is_model(self, name: str) -> bool:
        try:
            return bool(self.versions(name))
        except InvalidName:
            return False

    def _refuse_links(self, name: str) -> None:
        if (self.root / name).is_symlink():
            raise StoreDamaged(f"{self.root / name} is a link; links are not followed")


def default_root() -> Path:
    """Return the store's folder: HALFTONE_MODELS, or `models` in the working directory."""
    return Path(os.environ.get("HALFTONE_MODELS") or "models")


def _folders(folder: Path) -> list[Path]:
    try:
        return [Path(entry) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreDamaged(f"Cannot read {folder}: {error.strerror}") from error


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and not name.startswith("0")


def _read_last_version(folder: Path) -> int:
    try:
        return int((folder / _LAST_VERSION_FILE).read_text())
    except (OSError, ValueError):
        return 0


def _sweep(folder: Path) -> None:
    """Remove what dead publishers left. The caller holds the lock, so no write is under way."""
    for path in folder.iterdir():
        if path.name.startswith(TEMPORARY_PREFIX):
            path.unlink(missing_ok=True)
        elif path.name.startswith(_DRAFT_PREFIX) and not path.is_symlink():
            _remove_if_dead(path)


def _remove_if_dead(draft: Path) -> None:
    try:
        held = hold_folder(draft)
    except OSError:  # it was just removed by its maker
        return
    if held is not None:
        shutil.rmtree(draft, ignore_errors=True)
        os.close(held)


def _listed(items: list[int] | list[str]) -> str:
    shown = [str(item) for item in items[-10:]]
    return ", ".join(shown) if len(items) <= 10 else f"…, {', '.join(shown)}"
