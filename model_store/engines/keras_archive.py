"""Look into a `.keras` file without loading it: parse, bound, refuse, before Keras sees any of it.

A `.keras` file is a zip of two JSON documents and one HDF5 file. Here the zip must be stored
uncompressed, as Keras writes it, so that nothing can expand; the configuration may name built-in
classes only; and the HDF5 file may hold plain arrays only, which lie inside it. What remains is
data: a description of layers, and numbers.
"""

import json
import math
import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Any, BinaryIO

from model_store.engines.foreign_models import refuse_foreign, refuse_keras_2
from model_store.engines.keras_config import check_config, nodes
from model_store.errors import CorruptBundle, UnsafeModel

CONFIG_MEMBER = "config.json"
METADATA_MEMBER = "metadata.json"
WEIGHTS_MEMBER = "model.weights.h5"
MEMBERS = (CONFIG_MEMBER, METADATA_MEMBER, WEIGHTS_MEMBER)

_MAX_JSON_BYTES = 4 << 20
_MAX_HDF5_OBJECTS = 20_000
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, name length, extra length


@dataclass(frozen=True, slots=True)
class KerasArchive:
    """A `.keras` file that was found harmless."""

    path: Path
    config: dict[str, Any]  # of the layers; without optimizer, loss and metrics
    weights: int  # how many numbers it holds, those of an optimizer included


def read_archive(path: Path) -> KerasArchive:
    """Check a `.keras` file and count its weights; no code of it runs, nothing is unpacked.

    Raises:
        UnsafeModel: it names code or files other than built-in layers and its own arrays.
        IncompatibleModel: it is a model of another format, or none; the message says what to do.
        CorruptBundle: it is damaged.
    """
    try:
        if not (path.is_file() or path.is_dir()):  # a pipe would block
            raise CorruptBundle(f"{path.name}: not a file")
        refuse_foreign(path)
        with path.open("rb") as file:
            members = _members(file, os.fstat(file.fileno()).st_size)
            config = _read_json(file, *members[CONFIG_MEMBER])
            config.pop("compile_config", None)  # Keras does not read it either
            refuse_keras_2(path, list(nodes(config)))
            check_config(config)
            return KerasArchive(path, config, _count_weights(file, *members[WEIGHTS_MEMBER]))
    except (zipfile.BadZipFile, NotImplementedError, struct.error) as error:
        raise CorruptBundle(f"{path.name}: damaged zip archive: {error}") from error
    except OSError as error:
        raise CorruptBundle(f"{path.name}: cannot be read: {error}") from error


def _members(file: BinaryIO, size: int) -> dict[str, tuple[int, int]]:
    """Return (offset, length) of the three members, read without decompressing anything."""
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
    names = sorted(info.filename for info in infos)
    if names != sorted(MEMBERS):
        listed = ", ".join(repr(name) for name in names[:8])
        raise UnsafeModel(f"Expected the members {', '.join(MEMBERS)} only. Received: {listed}")
    for info in infos:
        _refuse_unusual_member(info)
    return {info.filename: _locate(file, info, size) for info in infos}


def _refuse_unusual_member(info: zipfile.ZipInfo) -> None:
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise UnsafeModel(f"{info.filename}: expected a stored member. Received: a compressed one")
    if info.flag_bits & 1:
        raise UnsafeModel(f"{info.filename}: encrypted")
    mode = info.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise UnsafeModel(f"{info.filename}: not a regular file")
    if info.filename != WEIGHTS_MEMBER and info.file_size > _MAX_JSON_BYTES:
        raise UnsafeModel(f"{info.filename}: {info.file_size} bytes, more than {_MAX_JSON_BYTES}")


def _locate(file: BinaryIO, info: zipfile.ZipInfo, size: int) -> tuple[int, int]:
    file.seek(info.header_offset)
    signature, name_length, extra_length = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    start = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
    if signature != b"PK\x03\x04" or start + info.file_size > size:
        raise CorruptBundle(f"{info.filename}: outside the archive")
    return start, info.file_size


def _read_json(file: BinaryIO, start: int, length: int) -> dict[str, Any]:
    file.seek(start)
    try:
        config = json.loads(file.read(length))
    except (ValueError, RecursionError) as error:
        raise CorruptBundle(f"{CONFIG_MEMBER}: not JSON: {error}") from error
    if not isinstance(config, dict):
        raise CorruptBundle(f"{CONFIG_MEMBER}: expected an object. Received: {type(config)}")
    return config


class _Window(RawIOBase):
    """A read-only view of one member, for h5py."""

    def __init__(self, file: BinaryIO, start: int, length: int) -> None:
        self._file, self._start, self._length, self._position = file, start, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        wanted = max(0, min(len(view), self._length - self._position))
        self._file.seek(self._start + self._position)
        data = self._file.read(wanted)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


def _count_weights(file: BinaryIO, start: int, length: int) -> int:
    # Imported here: what never opens a Keras model does without h5py.
    import h5py

    try:
        with h5py.File(_Window(file, start, length), "r") as root:
            if root.userblock_size:
                raise UnsafeModel(f"{WEIGHTS_MEMBER}: holds {root.userblock_size} foreign bytes")
            arrays = [_checked(name, dataset, length) for name, dataset in _datasets(root)]
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise CorruptBundle(f"{WEIGHTS_MEMBER}: damaged HDF5 file: {error}") from error
    if sum(nbytes for _, nbytes in arrays) > length:
        raise UnsafeModel(f"{WEIGHTS_MEMBER}: its arrays lie over each other")
    return sum(numbers for numbers, _ in arrays)


def _datasets(root: Any) -> Iterator[tuple[str, Any]]:
    """Yield every (path, dataset), following no link out of the file and none twice."""
    import h5py

    pending, seen = [("", root)], 0
    while pending:
        prefix, group = pending.pop()
        for name in group:
            seen += 1
            if seen > _MAX_HDF5_OBJECTS:
                raise UnsafeModel(f"{WEIGHTS_MEMBER}: more than {_MAX_HDF5_OBJECTS} objects")
            # Checked before anything is opened: opening follows the link.
            if group.get(name, getclass=True, getlink=True) is not h5py.HardLink:
                raise UnsafeModel(f"{WEIGHTS_MEMBER}: {prefix}{name} is a link")
            child = group[name]
            if isinstance(child, h5py.Group):
                pending.append((f"{prefix}{name}/", child))
            elif isinstance(child, h5py.Dataset):
                yield f"{prefix}{name}", child
            else:
                raise UnsafeModel(f"{WEIGHTS_MEMBER}: {prefix}{name} is no array")


def _checked(name: str, dataset: Any, length: int) -> tuple[int, int]:
    """Return how many numbers and bytes an array holds, which lies in the file as it is."""
    import h5py

    dtype = dataset.dtype
    if dtype.kind not in "fiub":
        # HDF5 knows no bfloat16, and Keras stores it as two bytes that mean nothing there.
        what = "bfloat16, or 2 bytes; save it as float32" if dtype == "V2" else dtype
        raise UnsafeModel(f"{WEIGHTS_MEMBER}: {name}: expected numbers. Received: {what}")
    plain = dataset.id.get_create_plist().get_layout() == h5py.h5d.CONTIGUOUS
    if not plain or dataset.external or dataset.is_virtual:
        raise UnsafeModel(f"{WEIGHTS_MEMBER}: {name}: expected one contiguous array")
    numbers, offset = math.prod(dataset.shape), dataset.id.get_offset()
    nbytes = numbers * dtype.itemsize
    if nbytes and (offset is None or offset + nbytes > length):
        raise UnsafeModel(f"{WEIGHTS_MEMBER}: {name}: declares more than the file holds")
    return numbers, nbytes
