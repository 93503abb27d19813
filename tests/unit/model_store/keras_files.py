"""Handmade `.keras` files: the tiny network's, and whatever a stranger might send instead."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

MEMBERS = ("metadata.json", "config.json", "model.weights.h5")
HEIGHT, WIDTH, LABELS = 12, 10, 3


def layer(kind: str, module: str = "keras.layers", **config: Any) -> dict[str, Any]:
    """Return one layer as Keras writes it."""
    return {"module": module, "class_name": kind, "config": config, "registered_name": None}


def network(*more: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a small published network, with `more` layers at its end."""
    layers = [
        layer("InputLayer", batch_shape=[None, HEIGHT, WIDTH], dtype="uint8", name="pixels"),
        layer("Rescaling", scale=1 / 255, offset=0.0, name="scaled"),
        layer("Flatten", name="flat"),
        layer("Dense", units=LABELS, activation="softmax", name="dense"),
        *more,
    ]
    return layer("Sequential", "keras", name="network", layers=layers)


def weights(fill: Callable[[Any], None] | None = None) -> bytes:
    """Return the HDF5 member: the dense layer's kernel and bias, or what `fill` writes."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as root:
        (fill or _fill)(root)
    return buffer.getvalue()


def _fill(root: Any) -> None:
    random = np.random.default_rng(0)
    kernel = random.normal(0, 0.3, (HEIGHT * WIDTH, LABELS)).astype(np.float32)
    root["layers/dense/vars/0"] = kernel
    root["layers/dense/vars/1"] = np.zeros(LABELS, np.float32)


def write(path: Path, config: Any = None, h5: bytes | None = None, **options: Any) -> Path:
    """Write a `.keras` file of these parts."""
    parts = {
        "metadata.json": b'{"keras_version": "3.15.1", "date_saved": "2026-01-01@00:00:00"}',
        "config.json": json.dumps(config or network()).encode(),
        "model.weights.h5": weights() if h5 is None else h5,
    }
    return write_zip(path, parts | options.pop("members", {}), **options)


def write_zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """Write a zip of these members."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def edit_config(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Change the configuration in a `.keras` file."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    return write_zip(path, members | {"config.json": json.dumps(config).encode()})
