"""File operations that survive a crash: what they report as done is on the disk."""

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_store.errors import StoreUnwritable

TEMPORARY_PREFIX = ".tmp-"


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data`: a reader, or a crash, sees the old content or the new."""
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")
    try:
        write_synced(temporary, data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and flush it to the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Flush every file and folder below `folder`, and itself, to the disk."""
    for parent, _, files in os.walk(folder, topdown=False):
        for name in files:
            _sync(Path(parent, name), os.O_RDONLY | os.O_NOFOLLOW)
        sync_folder(Path(parent))


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename in it survives a crash."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create a folder, its parents where needed, durably; one that exists is fine."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


@contextmanager
def exclusive(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `path` against other processes and threads; a dead holder frees it.

    Raises:
        BlockingIOError: another one holds it, and we do not `wait`.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def hold_folder(folder: Path) -> int | None:
    """Lock a folder for as long as the returned descriptor is open; None: another one holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def explaining_errors(what: str) -> Iterator[None]:
    """Turn the operating system's refusals into one sentence.

    Raises:
        StoreUnwritable: for any OSError inside.
    """
    try:
        yield
    except OSError as error:
        raise _unwritable(what, error) from error


@contextmanager
def explaining_lack_of_space(what: str) -> Iterator[None]:
    """Turn a full disk into one sentence, and leave other errors alone.

    Raises:
        StoreUnwritable: for an OSError inside that says so, HDF5's included, which has no errno.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
        if full:
            raise _unwritable(what, error) from error
        raise


def _unwritable(what: str, error: OSError) -> StoreUnwritable:
    reason = {
        errno.ENOSPC: "no space is left on the device",
        errno.EDQUOT: "the disk quota is used up",
        errno.EROFS: "the file system is read-only",
        errno.EACCES: "permission was denied",
    }.get(error.errno or 0, error.strerror or str(error))
    return StoreUnwritable(f"Cannot {what}: {reason}")
