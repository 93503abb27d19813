"""Models in a bucket of object storage.

    casting/1/, casting/2/ …   immutable bundles; manifest.json comes last, and makes them versions
    casting/.taken/3           made, if it is not there, by who takes the number 3; never removed
    current.json               of each model the version to serve, and the one before it

A publisher renews its hold of the number right before the manifest. One that did not for a day is
dead: the next publisher takes the number from it and removes the files. Both writes are
conditional, so that only one of the two happens.
"""

import secrets
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from model_store.bundle import Bundle, Fetch, read_bundle
from model_store.calling import calling
from model_store.errors import StoreUnreachable, StoreUnwritable
from model_store.manifest import MANIFEST_FILE, Manifest
from model_store.store.bucket import Bucket, Found
from model_store.store.cached import BundleCache
from model_store.store.current import CurrentVersion, Pointers
from model_store.store.layout import is_name, is_number, write_manifest
from model_store.store.pointer_file import PointerFile
from model_store.store.staging import staging

HOLD = timedelta(days=1)

_TAKEN = ".taken"


@dataclass(slots=True)
class _Listing:
    """What a bucket holds of one model: keys by version."""

    files: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    taken: set[int] = field(default_factory=set)

    def complete(self, name: str) -> list[int]:
        return sorted(n for n, keys in self.files.items() if f"{name}/{n}/{MANIFEST_FILE}" in keys)


class ObjectStorage:
    """All models below one prefix of a bucket; see `Storage`."""

    def __init__(self, url: str, cache: Path, cache_bytes: int) -> None:
        """Say where the bucket is, and where copies go; nothing is asked yet.

        Args:
            url: as s3://bucket/prefix.
            cache: folder for copies.
            cache_bytes: most bytes of them.
        """
        self._bucket = Bucket(url)
        self._cache = BundleCache(cache, self._bucket.url, cache_bytes)
        self._pointers = PointerFile(self._bucket, self._cache)

    def names(self) -> list[str]:
        """Return the names of all models with at least one version, sorted."""
        found = set()
        for key in self._bucket.keys(patient=False):
            name, _, rest = key.partition("/")
            number, _, file = rest.partition("/")
            if file == MANIFEST_FILE and is_number(number) and is_name(name):
                found.add(name)
        return sorted(found)

    def versions(self, name: str) -> list[int]:
        """Return the complete versions of a model, ascending; none if there is no such model."""
        return self._listing(name, patient=False).complete(name)

    def current(self, name: str) -> CurrentVersion | None:
        """Return which version serves, as the bucket says now; see `Storage`."""
        return self._pointers.current(name)

    def pointers(self) -> Pointers:
        """Return which version of each model serves; see `PointerFile.look`."""
        found = self._pointers.look()
        for name, current in found.current.items():
            self._cache.touch(name, current.version)
        return found

    def make_current(self, name: str, number: int) -> CurrentVersion:
        """Replace `current.json`; see `Storage`."""
        return self._pointers.make_current(name, number)

    def bundle(self, name: str, number: int, *, afresh: bool) -> Bundle | None:
        """Give the copy of a version, whose files come when they are verified; see `Storage`."""
        folder = self._cache.bundle(name, number)
        has_copy = not afresh and (folder / MANIFEST_FILE).is_file()
        try:
            found = self._bucket.read(f"{name}/{number}/{MANIFEST_FILE}", patient=not has_copy)
        except StoreUnreachable:
            if not has_copy:
                raise
        else:
            if found is None:
                return None
            self._cache.begin(name, number, found.data)
        self._cache.touch(name, number)
        bundle = read_bundle(folder)
        return replace(bundle, fetch=self._fetching(bundle, f"{name}/{number}", afresh=afresh))

    @contextmanager
    def draft(self, name: str) -> Iterator[Path]:
        """Give a folder in the cache; see `Storage`."""
        self._bucket.require_conditions()  # better now than after hours of training
        with staging(self._cache.folder / name) as draft:
            yield draft

    def add(self, name: str, draft: Path, manifest: Manifest, *, promote: bool) -> int:
        """Upload a draft under a number of its own; see `Storage`."""
        listing = self._listing(name, patient=True)
        number, hold = self._take_number(name, listing)
        self._sweep(name, listing, hold)
        write_manifest(draft, manifest.model_copy(update={"version": number}))
        for path in sorted(manifest.files):
            self._bucket.write(f"{name}/{number}/{path}", draft / path)
        if not self._bucket.replace(_taken(name, number), _token(), hold):
            raise StoreUnwritable(
                f"Publishing {name} took more than {HOLD.days} days; another publisher removed it"
            )
        manifest_key = f"{name}/{number}/{MANIFEST_FILE}"
        self._bucket.write(manifest_key, (draft / MANIFEST_FILE).read_bytes())
        if promote:
            self._promote_published(name, number)
        return number

    def _promote_published(self, name: str, number: int) -> None:
        try:
            self.make_current(name, number)
        except StoreUnreachable as error:
            raise StoreUnreachable(
                f"{error}. {name} version {number} is published all the same; "
                f"'{calling('model_store')} promote {name} {number}' makes it serve"
            ) from error

    def _listing(self, name: str, *, patient: bool) -> _Listing:
        found = _Listing()
        for key in self._bucket.keys(name, patient=patient):
            kind, _, rest = key.removeprefix(f"{name}/").partition("/")
            if kind == _TAKEN and is_number(rest):
                found.taken.add(int(rest))
            elif is_number(kind):
                found.files[int(kind)].append(key)
        return found

    def _take_number(self, name: str, listing: _Listing) -> tuple[int, Found]:
        """Return a number that no version ever had, and the object that says it is ours."""
        given = [0, *listing.files, *listing.taken]
        if (current := self._pointers.current(name)) is not None:
            given += [current.version, current.previous or 0]
        number = max(given) + 1
        while not self._bucket.create(_taken(name, number), _token()):
            number += 1
        hold = self._bucket.read(_taken(name, number))
        if hold is None:
            raise StoreUnwritable(f"{self._bucket.url} lost what was just written to it")
        return number, hold

    def _sweep(self, name: str, listing: _Listing, ours: Found) -> None:
        """Remove the files of publishers that died; times are all the server's."""
        for number in set(listing.files) & listing.taken - set(listing.complete(name)):
            theirs = self._bucket.read(_taken(name, number))
            is_old = theirs is not None and ours.modified_at - theirs.modified_at >= HOLD
            if theirs and is_old and self._bucket.replace(_taken(name, number), _token(), theirs):
                self._bucket.delete(listing.files[number])

    def _fetching(self, bundle: Bundle, prefix: str, *, afresh: bool) -> Fetch:
        """Return what brings files of a bundle into its copy; afresh: each of them once anew."""
        again = set(bundle.manifest.files) if afresh else set()

        def download(path: str, file: Path) -> str | None:
            return self._bucket.download(f"{prefix}/{path}", file)

        def fetch(paths: Collection[str]) -> None:
            wanted = {path: bundle.manifest.files[path] for path in paths}
            self._cache.bring(bundle.folder, wanted, download, again=again & wanted.keys())
            again.difference_update(wanted)

        return fetch


def _taken(name: str, number: int) -> str:
    return f"{name}/{_TAKEN}/{number}"


def _token() -> bytes:
    return secrets.token_hex(16).encode()
