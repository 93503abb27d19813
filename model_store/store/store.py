"""Models and their versions: publish, promote, roll back; in a folder or in object storage."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from model_store.bundle import Bundle, read_bundle, record_files
from model_store.errors import CorruptBundle, ModelNotFound, StoreError, VersionNotFound
from model_store.libraries import library_versions
from model_store.manifest import (
    MANIFEST_FILE,
    SCHEMA_VERSION,
    BundleContents,
    Manifest,
    check_name,
)
from model_store.store.cached import default_cache_bytes, default_cache_root
from model_store.store.current import CurrentVersion, Pointers
from model_store.store.durable import explaining_errors
from model_store.store.folder import FolderStorage
from model_store.store.layout import write_manifest
from model_store.store.location import is_bucket
from model_store.store.storage import Storage
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
            StoreUnreachable: object storage failed; nothing is visible there that is not whole.
        """
        return self.store.publish(self, contents, promote=promote)


class ModelStore:
    """All models in one folder, or below one prefix of a bucket."""

    def __init__(
        self,
        root: Path | str,
        verify: Callable[[Bundle], object] = verify,
        *,
        cache: Path | None = None,
        cache_bytes: int | None = None,
    ) -> None:
        """Open the store at `root`, which need not exist yet.

        Args:
            root: the folder, or the bucket and prefix, as s3://bucket/prefix.
            verify: raises a BundleError for a bundle that must not become current.
            cache: the folder for copies of what a bucket holds; None: `default_cache_root`.
            cache_bytes: most bytes of them; None: `default_cache_bytes`.

        Raises:
            InvalidLocation: `root` is a URL of something else than a bucket.
        """
        self.root = root if is_bucket(root) else Path(root)
        self._verify = verify
        self._storage = _storage(self.root, cache, cache_bytes)

    def names(self) -> list[str]:
        """Return the names of all models with at least one version, sorted."""
        return self._storage.names()

    def versions(self, name: str) -> list[int]:
        """Return the complete versions of a model, ascending; none if there is no such model."""
        return self._storage.versions(check_name(name))

    def current(self, name: str) -> CurrentVersion | None:
        """Return which version serves, or None if nothing was ever promoted.

        Raises:
            StoreDamaged: `current.json` cannot be understood.
        """
        return self._storage.current(check_name(name))

    def pointers(self) -> Pointers:
        """Return which version of each model serves; cheap enough to ask every second.

        Raises:
            StoreUnreachable: object storage does not answer, and this host never saw it do so.
        """
        return self._storage.pointers()

    def where(self, bundle: Bundle) -> str:
        """Return the address of a version, for people."""
        return f"{self.root}/{bundle.manifest.name}/{bundle.manifest.version}"

    def bundle(self, name: str, version: int | None = None, *, afresh: bool = False) -> Bundle:
        """Read the manifest of one version.

        Args:
            name: a model.
            version: None: the current one.
            afresh: read every file from the store itself, though a copy may be at hand.

        Raises:
            ModelNotFound: no such model, or it has no current version.
            VersionNotFound: no such version.
            InvalidManifest: its manifest is invalid.
            CorruptBundle: its manifest belongs to another bundle.
            StoreUnreachable: object storage does not answer, and there is no copy of the manifest.
        """
        if version is None:
            version = self._require_current(name).version
        bundle = self._storage.bundle(check_name(name), version, afresh=afresh)
        if bundle is None:
            raise self._no_version(name, version)
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
            StoreUnreachable: object storage does not answer, or does not let us write.
        """
        with self._storage.draft(check_name(name)) as folder:
            yield Draft(self, name, folder)

    def publish(self, draft: Draft, contents: BundleContents, *, promote: bool = True) -> Bundle:
        """Publish a draft; see `Draft.publish`."""
        with explaining_errors(f"publish {draft.name}"):
            manifest = _manifest(draft, contents)
            write_manifest(draft.folder, manifest)
            self._verify(read_bundle(draft.folder))
            number = self._storage.add(draft.name, draft.folder, manifest, promote=promote)
        return self.bundle(draft.name, number)

    def promote(self, name: str, version: int) -> CurrentVersion:
        """Verify a version and make it the current one.

        Raises:
            ModelNotFound: there is no such model.
            VersionNotFound: there is no such version.
            BundleError: it must not serve.
            EngineUnavailable: nothing can run it here.
            StoreUnwritable: the store cannot be written.
            StoreUnreachable: object storage failed.
        """
        self._verify(self.bundle(name, version, afresh=True))
        return self._storage.make_current(name, version)

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

    def _require_current(self, name: str) -> CurrentVersion:
        current = self.current(name)
        if current is None:
            versions = self.versions(name)
            if not versions:
                raise self._no_model(name)
            raise ModelNotFound(
                f"{name} has no current version; promote one of {_listed(versions)}"
            )
        return current

    def _no_version(self, name: str, version: int) -> StoreError:
        versions = self.versions(name)
        if not versions:
            return self._no_model(name)
        return VersionNotFound(f"{name} has no version {version}, only {_listed(versions)}")

    def _no_model(self, name: str) -> ModelNotFound:
        names = self.names()
        there_is = f"There are: {_listed(names)}" if names else "The store is empty"
        return ModelNotFound(f"No model {name!r} in {self.root}. {there_is}")


def default_root() -> Path | str:
    """Return where the store is: HALFTONE_MODELS, or `models` in the working directory.

    Raises:
        InvalidLocation: it is a URL of something else than a bucket.
    """
    root = os.environ.get("HALFTONE_MODELS") or "models"
    return root if is_bucket(root) else Path(root)


def _storage(root: Path | str, cache: Path | None, cache_bytes: int | None) -> Storage:
    if isinstance(root, Path):
        return FolderStorage(root)
    # Its client is loaded only where there is a bucket.
    from model_store.store.object_storage import ObjectStorage

    most = default_cache_bytes() if cache_bytes is None else cache_bytes
    return ObjectStorage(root, cache or default_cache_root(), most)


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


def _listed(items: list[int] | list[str]) -> str:
    shown = [str(item) for item in items[-10:]]
    return ", ".join(shown) if len(items) <= 10 else f"…, {', '.join(shown)}"
