"""Models as strangers save them, that cannot come in: the refusal says what to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from model_store.engines.keras import load_model
from model_store.engines.keras_archive import read_archive
from model_store.errors import IncompatibleModel, UnsafeModel
from model_store.making.importing import ImportRequest, wrap_network
from model_store.spec import ImageSpec

SIZE = (6, 5)
LABELS = ("a", "b", "c")
layers = keras.layers


def saved(model: Any, folder: Path) -> Path:
    model.save(folder / "model.keras")
    return folder / "model.keras"


def arithmetic() -> Any:
    inputs = keras.Input(SIZE)
    return keras.Model(inputs, layers.Dense(3, "softmax")(layers.Flatten()(inputs / 255.0)))


def quantized() -> Any:
    model = plain()
    model.quantize("int8", filters=["dense.*"])
    return model


def plain(**options: Any) -> Any:
    return keras.Sequential(
        [keras.Input(SIZE), layers.Flatten(), layers.Dense(3, "softmax", name="dense", **options)]
    )


@pytest.mark.parametrize(
    ("build", "advice"),
    [
        (arithmetic, r"x / 255 as keras\.layers\.Rescaling\(1 / 255\)"),
        (quantized, "before it was quantized"),
        (lambda: plain(dtype="bfloat16"), "save it as float32"),
    ],
)
def test_what_cannot_be_opened_is_refused_with_what_to_do(
    tmp_path: Path, build: Callable[[], Any], advice: str
):
    with pytest.raises(UnsafeModel, match=advice):
        read_archive(saved(build(), tmp_path))


def test_percentages_are_no_logits(tmp_path):
    model = keras.Sequential([*plain().layers, layers.Rescaling(100.0)])
    model.build((None, *SIZE))
    images = np.random.default_rng(0).integers(0, 256, (6, *SIZE), np.uint8)
    path = saved(model, tmp_path)
    asked = ImportRequest(path, LABELS, ImageSpec.for_size(*SIZE))

    with pytest.raises(IncompatibleModel, match="outputs that sum to 100, as percentages"):
        wrap_network(load_model(read_archive(path)), asked, images, [])
