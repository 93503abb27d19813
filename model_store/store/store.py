"""A folder of models and their versions: publish atomically, promote, roll back.

    casting/1/, casting/2/ …   immutable bundles; a number is never given twice
    casting/current.json       the version to serve, and the one before it
    casting/.last-version      the highest number ever given
    casting/.lock              held while anything above changes
    casting/.draft-…/          a bundle that is being made; swept when its maker is dead

Reading takes no lock and writes nothing, so a store can be mounted read-only.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from model_store.bundle import Bundle, read_bundle, record_files
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
    SCHEMA_VERSION,
    BundleContents,
    Manifest,
    check_name,
    encode_manifest,
)
from model_store.store.current import (
    CurrentVersion,
    make_current,
    read_current,
    read_current_if_sound,
)
from model_store.store.durable import (
    exclusive,
    explaining_errors,
    explaining_lack_of_space,
    make_folder,
    sync_folder,
    sync_tree,
    write_atomically,
)
from model_store.store.layout import complete_versions, give_version, subfolders
from model_store.store.staging import LOCK_FILE, make_staging_folder
from model_store.verification import verify


@dataclass(frozen=True, slots=True)
class Draft:
    """A bundle in the making: fill `folder`, then publish it."""

    store: "ModelStore"
    name: str
    folder: Path

    def publish(self, contents: BundleContents, *, promote: bool = True) -> Bundle:
        """Verify what `folder` holds, and give it the next version number.

        Args:
            contents: what the maker says of it; identity and hashes are added.
            promote: also make it the current version.

        Raises:
            BundleError: it would not pass when opened; the store is unchanged.
            StoreUnwritable: no space or no permission; the store is unchanged.
        """
        return self.store.publish(self, contents, promote=promote)


class ModelStore:
    """All models below one folder."""

    def __init__(self, root: Path, verify: Callable[[Bundle], object] = verify) -> None:
        """Open the store at `root`, which need not exist yet.

        Args:
            root: the folder.
            verify: raises a BundleError for a bundle that must not become current.
        """
        self.root = root
        self._verify = verify

    def names(self) -> list[str]:
        """Return the names of all models with at least one version, sorted."""
        return sorted(path.name for path in subfolders(self.root) if _is_model(path))

    def versions(self, name: str) -> list[int]:
        """Return the complete versions of a model, ascending; none if there is no such model."""
        return complete_versions(self._folder(name))

    def current(self, name: str) -> CurrentVersion | None:
        """Return which version serves, or None if nothing was ever promoted.

        Raises:
            StoreDamaged: `current.json` cannot be understood.
        """
        return read_current(self._folder(name))

    def latest(self) -> str | None:
        """Return the name of the model that was promoted last."""
        promoted = [
            (current.promoted_at, name)
            for name in self.names()
            if (current := read_current_if_sound(self._folder(name))) is not None
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
            version = self._require_current(name).version
        self._require_version(name, version)
        bundle = read_bundle(self._folder(name) / str(version))
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
            StoreUnwritable: the store cannot be written, or is full.
        """
        folder = self._folder(name)
        if folder.is_symlink():
            raise StoreDamaged(f"{folder} is a link; links are not followed")
        with explaining_errors(f"write to {folder}"):
            make_folder(folder)
            made = make_staging_folder(folder)
        try:
            with explaining_lack_of_space(f"write to {folder}"):
                yield Draft(self, name, made.folder)
        finally:
            made.discard()

    def publish(self, draft: Draft, contents: BundleContents, *, promote: bool = True) -> Bundle:
        """Publish a draft; see `Draft.publish`."""
        with explaining_errors(f"publish {draft.name}"):
            manifest = _manifest(draft, contents)
            _write_manifest(draft.folder, manifest)
            sync_tree(draft.folder)
            self._verify(read_bundle(draft.folder))
            with self._changing(draft.name) as folder:
                number = give_version(folder)
                _write_manifest(draft.folder, manifest.model_copy(update={"version": number}))
                _move_in(draft.folder, folder, number, promote=promote)
        return self.bundle(draft.name, number)

    def promote(self, name: str, version: int) -> CurrentVersion:
        """Verify a version and make it the current one.

        Raises:
            ModelNotFound: there is no such model.
            VersionNotFound: there is no such version.
            BundleError: it must not serve.
            EngineUnavailable: nothing can run it here.
            StoreUnwritable: the store cannot be written.
        """
        self._verify(self.bundle(name, version))
        with self._changing(name) as folder:
            self._require_version(name, version)
            return make_current(folder, version)

    def rollback(self, name: str) -> CurrentVersion:
        """Verify the version that served before, and swap it with the current one.

        Raises:
            VersionNotFound: no version served before.
            ModelStoreError: as `promote`.
        """
        previous = self._require_current(name).previous
        if previous is None:
            raise VersionNotFound(f"{name} has no previous version to roll back to")
        return self.promote(name, previous)

    @contextmanager
    def _changing(self, name: str) -> Iterator[Path]:
        folder = self._folder(name)
        with explaining_errors(f"write to {folder}"), exclusive(folder / LOCK_FILE):
            yield folder

    def _folder(self, name: str) -> Path:
        return self.root / check_name(name)

    def _require_current(self, name: str) -> CurrentVersion:
        current = self.current(name)
        if current is None:
            versions = self._require_versions(name)
            raise ModelNotFound(
                f"{name} has no current version; promote one of {_listed(versions)}"
            )
        return current

    def _require_version(self, name: str, version: int) -> None:
        versions = self._require_versions(name)
        if version not in versions:
            raise VersionNotFound(f"{name} has no version {version}, only {_listed(versions)}")

    def _require_versions(self, name: str) -> list[int]:
        versions = self.versions(name)
        if not versions:
            names = self.names()
            there_is = f"There are: {_listed(names)}" if names else "The store is empty"
            raise ModelNotFound(f"No model {name!r} in {self.root}. {there_is}")
        return versions


def default_root() -> Path:
    """Return the store's folder: HALFTONE_MODELS, or `models` in the working directory."""
    return Path(os.environ.get("HALFTONE_MODELS") or "models")


def _is_model(folder: Path) -> bool:
    try:
        check_name(folder.name)
    except InvalidName:
        return False
    return bool(complete_versions(folder))


def _manifest(draft: Draft, contents: BundleContents) -> Manifest:
    (draft.folder / MANIFEST_FILE).unlink(missing_ok=True)
    fields = {name: getattr(contents, name) for name in BundleContents.model_fields}
    return Manifest(
        **fields,
        schema_version=SCHEMA_VERSION,
        name=draft.name,
        version=1,  # the number is given when everything else is done
        created_at=datetime.now(UTC),
        libraries=library_versions(),
        files=record_files(draft.folder),
    )


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    write_atomically(folder / MANIFEST_FILE, encode_manifest(manifest))


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


def _listed(items: list[int] | list[str]) -> str:
    shown = [str(item) for item in items[-10:]]
    return ", ".join(shown) if len(items) <= 10 else f"…, {', '.join(shown)}"
