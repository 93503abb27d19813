import os
import stat
import zipfile
from collections.abc import Callable
from itertools import combinations
from operator import setitem
from typing import Any

import h5py
import numpy as np
import pytest
from keras_files import MEMBERS, network, weights, write

from model_store.engines.keras_archive import read_archive
from model_store.errors import BundleError, CorruptBundle, IncompatibleModel, UnsafeModel


def test_a_plain_file_gives_its_layers_and_counts_its_weights(tmp_path):
    archive = read_archive(write(tmp_path / "m.keras"))

    assert archive.config["class_name"] == "Sequential"
    assert archive.weights == 120 * 3 + 3


def test_optimizer_loss_and_metrics_are_dropped_unread(tmp_path):
    config = network() | {"compile_config": {"loss": {"class_name": "Evil", "module": "os"}}}

    assert "compile_config" not in read_archive(write(tmp_path / "m.keras", config)).config


def _soft_link(root: Any) -> None:
    root["real"] = np.zeros(3, np.float32)
    root["layers/dense/vars/0"] = h5py.SoftLink("/real")


def _virtual(root: Any) -> None:
    virtual = h5py.VirtualLayout((3,), "f4")
    virtual[:] = h5py.VirtualSource("/etc/passwd", "d", (3,))
    root.create_virtual_dataset("d", virtual)


def _one_array_twice(root: Any) -> None:
    root["a"] = np.zeros(10_000, np.float32)
    root["b"] = root["a"]


def _unallocated(root: Any) -> None:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
    space = h5py.h5s.create_simple((1 << 40,))
    h5py.h5d.create(root.id, b"d", h5py.h5t.IEEE_F32LE, space, plist)


PASSWORDS = [("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
ZEROS = np.zeros(100_000, np.float32)
STRINGS = np.array([b"cos\nsystem"], dtype=object).astype("S")
FILLS: dict[str, Callable[[Any], object]] = {
    "external link": lambda root: setitem(root, "layers", h5py.ExternalLink("/etc/passwd", "/")),
    "soft link": _soft_link,
    "external storage": lambda root: root.create_dataset("d", (3,), "f4", external=PASSWORDS),
    "virtual": _virtual,
    "one array twice": _one_array_twice,
    "compressed": lambda root: root.create_dataset("d", data=ZEROS, compression="gzip"),
    "shape bomb": lambda root: root.create_dataset("d", (1 << 40,), "f4", chunks=(1 << 10,)),
    "unallocated": _unallocated,
    "strings": lambda root: setitem(root, "d", STRINGS),
    "references": lambda root: root.create_dataset("d", data=[root.ref], dtype=h5py.ref_dtype),
    "variable length": lambda root: root.create_dataset("d", (1,), h5py.vlen_dtype(np.float32)),
    "named type": lambda root: setitem(root, "d", np.dtype("f4")),
    "cycle": lambda root: setitem(root.create_group("a"), "up", root),
}


@pytest.mark.parametrize("fill", FILLS.values(), ids=FILLS)
def test_hdf5_files_that_hold_more_than_plain_arrays_are_unsafe(tmp_path, monkeypatch, fill):
    monkeypatch.setattr("model_store.engines.keras_archive._MAX_HDF5_OBJECTS", 500)  # of a cycle

    with pytest.raises(UnsafeModel):
        read_archive(write(tmp_path / "m.keras", h5=weights(fill)))


MORE = ["../evil", "/etc/evil", "assets/x", "model.weights.npz", "a\\b", "config.json"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [*combinations(MEMBERS, 2), *((*MEMBERS, name) for name in MORE)])
def test_members_that_no_plain_model_has_are_unsafe(tmp_path, names):
    with zipfile.ZipFile(write(tmp_path / "m.keras")) as archive:
        members = {name: archive.read(name) for name in MEMBERS}
    with zipfile.ZipFile(tmp_path / "odd.keras", "w") as archive:
        for name in names:
            archive.writestr(name, members.get(name, b"x"))

    with pytest.raises(UnsafeModel, match="members"):
        read_archive(tmp_path / "odd.keras")


def test_a_compressed_archive_is_refused_without_expanding_it(tmp_path):
    bomb = b"\0" * (64 << 20)
    path = write(tmp_path / "m.keras", h5=bomb, compression=zipfile.ZIP_DEFLATED)

    with pytest.raises(UnsafeModel, match="stored"):
        read_archive(path)


def test_an_oversized_configuration_is_refused(tmp_path):
    with pytest.raises(UnsafeModel, match=r"config\.json"):
        read_archive(write(tmp_path / "m.keras", members={"config.json": b" " * (5 << 20)}))


def test_a_member_that_is_a_link_is_refused(tmp_path):
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for name in MEMBERS:
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, b"/etc/passwd")

    with pytest.raises(UnsafeModel, match="not a regular file"):
        read_archive(path)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"[" * 100_000, b"\xff\xfe"])
def test_a_configuration_that_is_no_object_is_refused(tmp_path, text):
    with pytest.raises(BundleError):
        read_archive(write(tmp_path / "m.keras", members={"config.json": text}))


@pytest.mark.parametrize("data", [b"", b"hello", b"\x80\x04\x95pickle", b"PK\x05\x06" + b"\0" * 18])
def test_other_files_are_no_models(tmp_path, data):
    path = tmp_path / "m.keras"
    path.write_bytes(data)

    with pytest.raises(IncompatibleModel, match=r"\.keras"):
        read_archive(path)


def test_a_file_that_is_missing_or_a_pipe_says_so(tmp_path):
    with pytest.raises(CorruptBundle, match=r"m\.keras"):
        read_archive(tmp_path / "m.keras")
    os.mkfifo(tmp_path / "m.keras")
    with pytest.raises(CorruptBundle, match="not a file"):
        read_archive(tmp_path / "m.keras")


def test_any_truncation_is_refused(tmp_path):
    whole = write(tmp_path / "m.keras").read_bytes()
    path = tmp_path / "cut.keras"

    for length in range(0, len(whole), 61):
        path.write_bytes(whole[:length])
        with pytest.raises(BundleError):
            read_archive(path)


def test_random_damage_is_refused_or_counted(tmp_path):
    whole = write(tmp_path / "m.keras").read_bytes()
    random = np.random.default_rng(0)
    path = tmp_path / "bad.keras"
    refused = 0

    for _ in range(300):
        damaged = bytearray(whole)
        for position in random.integers(0, len(whole), 4):
            damaged[position] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        try:
            archive = read_archive(path)
        except BundleError:
            refused += 1
        else:  # the damage is in padding, a weight or a name; what is declared fits the file
            assert archive.weights <= len(whole)

    assert refused > 30
