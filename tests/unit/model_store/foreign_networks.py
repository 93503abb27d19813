"""Networks as others make them, and how an import is asked for."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from model_store.making.importing import ImportRequest, Pixels, wrap_network
from model_store.making.probes import draw_images
from model_store.sources import Source
from model_store.spec import ImageSpec

SIZE = HEIGHT, WIDTH = 12, 10
LABELS = ("a", "b", "c")


def noise(count: int = 6) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (count, *SIZE), np.uint8)


def floats(images: NDArray[np.uint8], divisor: float = 255) -> NDArray[np.float32]:
    """Return what somebody trained on: (N, H, W, 1)."""
    return images[..., None] / np.float32(divisor)


def dense(units: int, activation: str | None = None) -> Any:
    initializer = keras.initializers.RandomNormal(stddev=0.5, seed=units)
    return keras.layers.Dense(units, activation, kernel_initializer=initializer)


def sequential(*layers: Any, shape: tuple[int, ...] = (*SIZE, 1)) -> Any:
    return keras.Sequential([keras.Input(shape), *layers])


def functional(*layers: Any, shape: tuple[int | None, ...] = (*SIZE, 1)) -> Any:
    inputs = outputs = keras.Input(shape)
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


def branched(*head: Any, front: Any = None) -> Any:
    """Return a network whose two branches are added up before its head."""
    inputs = keras.Input((*SIZE, 1))
    flat = keras.layers.Flatten()(inputs if front is None else front(inputs))
    outputs = keras.layers.Add()([dense(4, "relu")(flat), dense(4, "tanh")(flat)])
    for layer in head:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


def saved(model: Any, folder: Path) -> Path:
    model.save(folder / "model.keras")
    return folder / "model.keras"


def request(
    path: Path,
    labels: tuple[str, ...] = LABELS,
    pixels: Pixels = "auto",
    height: int = HEIGHT,
    images: Source | None = None,
) -> ImportRequest:
    return ImportRequest(path, labels, ImageSpec.for_size(height, WIDTH), pixels, images)


def wrap(
    model: Any, labels: tuple[str, ...] = LABELS, images: Any = None, **options: Any
) -> tuple[Any, list[str]]:
    """Return the network that takes bytes, and the notes; `options` are those of `request`."""
    notes: list[str] = []
    asked = request(Path("model.keras"), labels, **options)
    images = draw_images(asked.spec, 48) if images is None else images
    return wrap_network(model, asked, images, notes), notes
