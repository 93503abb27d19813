"""Bundles from object storage as folders on this machine.

    bundles/STORE/casting/3/      the manifest, and of its files those that were needed
    bundles/STORE/current.json    what the bucket said last
    bundles/.lock                 held while files are brought or removed
    bundles/.incoming/            files on their way; swept by the next who brings some

A file appears whole or not at all, and its hash is computed before every use. Processes share the
folder. What was served least recently goes when the bytes are more than allowed.
"""

import hashlib
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from model_store.bundle import hash_file
from model_store.errors import CorruptBundle, StoreUnwritable
from model_store.manifest import MANIFEST_FILE, FileRecord
from model_store.store.durable import exclusive, explaining_errors, make_folder, write_atomically
from model_store.store.layout import is_number, subfolders
from model_store.store.staging import LOCK_FILE

logger = logging.getLogger("halftone.store")

DEFAULT_CACHE_BYTES = 10_000_000_000
_BYTES_VARIABLE = "HALFTONE_CACHE_BYTES"

_FOLDER, _INCOMING = "bundles", ".incoming"
# What was used a moment ago is serving, or being opened by another process.
_IN_USE_SECONDS = 60.0

# Writes one file of a bundle and returns its SHA-256; None: there is none.
Download = Callable[[str, Path], str | None]


def default_cache_root() -> Path:
    """Return `HALFTONE_CACHE`, else `halftone` in the user's cache folder."""
    if configured := os.environ.get("HALFTONE_CACHE"):
        return Path(configured)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "halftone"


def default_cache_bytes() -> int:
    """Return `HALFTONE_CACHE_BYTES`, else 10 GB.

    Raises:
        StoreUnwritable: it is no number of bytes.
    """
    stated = os.environ.get(_BYTES_VARIABLE) or str(DEFAULT_CACHE_BYTES)
    if not (stated.isascii() and stated.isdigit()):
        raise StoreUnwritable(
            f"{_BYTES_VARIABLE}: expected a whole number of bytes. Received: {stated[:40]!r}"
        )
    return int(stated)


class BundleCache:
    """The copies of one store's bundles, beside those of others in the same cache.

    Args:
        root: folder of the whole cache.
        store: what tells this store from others.
        max_bytes: most bytes of all bundles in the cache.
    """

    def __init__(self, root: Path, store: str, max_bytes: int) -> None:
        self._all = root / _FOLDER
        readable = re.sub(r"[^a-z0-9]+", "-", store.lower()).strip("-")[:60]
        self.folder = self._all / f"{readable}-{hashlib.sha256(store.encode()).hexdigest()[:8]}"
        self._max_bytes = max_bytes

    def bundle(self, name: str, number: int) -> Path:
        """Return where a version's copy is, or will be."""
        return self.folder / name / str(number)

    def touch(self, name: str, number: int) -> None:
        """Note that a version is served now."""
        try:
            os.utime(self.bundle(name, number))
        except OSError:  # it is not here, or the cache is read-only
            return

    def remember(self, file: str, data: bytes) -> None:
        """Keep what the bucket says beside the bundles; not being able to is no failure."""
        try:
            make_folder(self.folder)
            write_atomically(self.folder / file, data)
        except OSError as error:
            logger.warning("Cannot write to %s: %s", self.folder, error.strerror)

    def remembered(self, file: str) -> bytes | None:
        """Return what `remember` kept last."""
        try:
            return (self.folder / file).read_bytes()
        except OSError:
            return None

    def begin(self, name: str, number: int, manifest: bytes) -> None:
        """Begin a version's copy with its manifest, instead of any other that was there."""
        folder = self.bundle(name, number)
        if _holds(folder, manifest):
            return
        with explaining_errors(f"write {folder}"), self._changing() as incoming:
            if _holds(folder, manifest):  # another process was faster
                return
            draft = incoming / str(number)
            draft.mkdir()
            (draft / MANIFEST_FILE).write_bytes(manifest)
            shutil.rmtree(folder, ignore_errors=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            os.rename(draft, folder)

    def bring(
        self,
        folder: Path,
        wanted: Mapping[str, FileRecord],
        download: Download,
        *,
        again: Collection[str] = (),
    ) -> None:
        """See that a bundle's copy holds some files, as they are recorded.

        Args:
            folder: from `bundle`.
            wanted: the files, by their paths in the bundle.
            download: brings one.
            again: paths of those to bring though they are there.

        Raises:
            CorruptBundle: the bucket holds something else than what is recorded.
            StoreUnreachable: from `download`.
            StoreUnwritable: they do not fit, into the disk or into what is allowed.
        """
        if not _lacking(folder, wanted, again):
            return
        needed = sum(record.size for record in wanted.values())
        if needed > self._max_bytes:
            raise StoreUnwritable(
                f"Cannot keep {folder}: it takes {needed} bytes, and HALFTONE_CACHE_BYTES allows "
                f"{self._max_bytes}"
            )
        with explaining_errors(f"keep {folder}"), self._changing() as incoming:
            lacking = _lacking(folder, wanted, again)  # another process may have brought them
            self._make_room(sum(record.size for record in lacking.values()), folder)
            for path, record in lacking.items():
                draft = incoming / secrets.token_hex(8)
                _check(path, download(path, draft), record)
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                os.replace(draft, folder / path)

    @contextmanager
    def _changing(self) -> Iterator[Path]:
        """Hold the lock, and give an empty folder for what is on its way."""
        make_folder(self._all)
        with exclusive(self._all / LOCK_FILE):
            incoming = self._all / _INCOMING
            shutil.rmtree(incoming, ignore_errors=True)  # of one that was killed
            incoming.mkdir()
            yield incoming

    def _make_room(self, size: int, keep: Path) -> None:
        sizes = {folder: _size(folder) for folder in self._copies()}
        excess = sum(sizes.values()) + size - self._max_bytes
        for folder in sorted(sizes, key=_used_at):
            if excess <= 0:
                return
            if folder != keep and time.time() - _used_at(folder) > _IN_USE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
                excess -= sizes[folder]

    def _copies(self) -> Iterator[Path]:
        for store in subfolders(self._all):
            for model in subfolders(store):
                yield from (path for path in subfolders(model) if is_number(path.name))


def _lacking(
    folder: Path, wanted: Mapping[str, FileRecord], again: Collection[str]
) -> dict[str, FileRecord]:
    return {
        path: record
        for path, record in wanted.items()
        if path in again or not _is_sound(folder / path, record)
    }


def _holds(folder: Path, manifest: bytes) -> bool:
    try:
        return (folder / MANIFEST_FILE).read_bytes() == manifest
    except OSError:
        return False


def _is_sound(file: Path, record: FileRecord) -> bool:
    try:
        return file.lstat().st_size == record.size and hash_file(file) == record.sha256
    except (OSError, CorruptBundle):
        return False


def _check(path: str, digest: str | None, record: FileRecord) -> None:
    if digest is None:
        raise CorruptBundle(f"{path}: listed in the manifest, and missing")
    if digest != record.sha256:
        raise CorruptBundle(f"{path}: its SHA-256 differs from the recorded one")


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def _used_at(folder: Path) -> float:
    return folder.stat().st_mtime
