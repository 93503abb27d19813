"""Where the images come from and the answers go: a folder that every node sees, or a bucket."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from model_store.sources.files import files_below, is_junk
from model_store.store.bucket import Bucket
from model_store.store.durable import explaining_errors, write_atomically
from model_store.store.location import is_bucket


class Place(Protocol):
    """Files below one folder or one prefix of a bucket; their names have slashes."""

    def names(self) -> Iterator[str]:
        """Yield the name of every file that is data, in no order."""

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes; None: there is none."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all, whatever was there."""


def place(address: str) -> Place:
    """Return the bucket or folder at `address`; nothing is asked yet."""
    return _Prefix(address) if is_bucket(address) else _Folder(Path(address))


def address_of(path: Path | str) -> str:
    """Return what names a folder or a bucket on every node.

    Raises:
        InvalidLocation: it is another URL.
    """
    return path.rstrip("/") if is_bucket(path) else os.path.abspath(path)


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> Iterator[str]:
        for file in files_below(self._root):
            yield file.relative_to(self._root).as_posix()

    def read(self, name: str) -> bytes | None:
        try:
            return (self._root / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        with explaining_errors(f"write to {self._root}"):
            write_atomically(self._root / name, data)


class _Prefix:
    def __init__(self, url: str) -> None:
        self._bucket = Bucket(url)

    def names(self) -> Iterator[str]:
        keys = self._bucket.keys()
        return (key for key in keys if not any(map(is_junk, key.split("/"))))

    def read(self, name: str) -> bytes | None:
        found = self._bucket.read(name)
        return None if found is None else found.data

    def write(self, name: str, data: bytes) -> None:
        self._bucket.write(name, data)
