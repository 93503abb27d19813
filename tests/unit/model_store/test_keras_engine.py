"""The Keras engine on handmade files: right answers, and refusals before memory is spent."""

import resource
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import h5py
import keras
import numpy as np
import pytest
from keras_files import HEIGHT, LABELS, WIDTH, layer, network, weights, write

from model_store.engines.keras import KerasEngine, load, load_model
from model_store.engines.keras_archive import read_archive
from model_store.errors import IncompatibleModel
from model_store.manifest import Manifest
from model_store.spec import ImageSpec


@pytest.fixture(scope="module")
def images() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (5, HEIGHT, WIDTH), np.uint8)


def open_file(path: Path, labels: int = LABELS, height: int = HEIGHT) -> KerasEngine:
    manifest = SimpleNamespace(
        engines={"keras": SimpleNamespace(file=path.name)},
        image=ImageSpec.for_size(height, WIDTH),
        labels=tuple("abcdefgh"[:labels]),
    )
    return load("keras", path.parent, cast(Manifest, manifest), threads=1, shared=False)


def test_it_computes_what_the_file_says(tmp_path, images):
    path = write(tmp_path / "m.keras")
    with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as member:
        kernel = h5py.File(member)["layers/dense/vars/0"][:]
    logits = (images / 255).reshape(5, -1) @ kernel  # (5, labels)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    answers = open_file(path).predict(images)

    assert answers.dtype == np.float32
    assert np.allclose(answers, expected, atol=1e-5)


def test_any_batch_size_is_answered_by_one_trace(tmp_path, images):
    engine = open_file(write(tmp_path / "m.keras"))

    sizes = [len(engine.predict(images[:size])) for size in (1, 5, 2, 3)]

    assert sizes == [1, 5, 2, 3]
    assert engine._function.experimental_get_tracing_count() == 1


def test_answers_belong_to_the_caller(tmp_path, images):
    engine = open_file(write(tmp_path / "m.keras"))
    first = engine.predict(images)
    kept = first.copy()

    engine.predict(255 - images)
    assert np.array_equal(first, kept)
    first[:] = 0
    assert np.array_equal(engine.predict(images), kept)


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ({"labels": 5}, r"Expected 5 outputs.*Received: \(3,\)"),
        ({"height": 13}, r"\(None, 13, 10\).*\(None, 12, 10\)"),
    ],
)
def test_a_model_of_other_labels_or_size_names_both(tmp_path, expected, words):
    with pytest.raises(IncompatibleModel, match=words):
        open_file(write(tmp_path / "m.keras"), **expected)


KERNEL, BIAS = np.zeros((120, 3), np.float32), np.zeros(3, np.float32)


def one_that_is(value: float) -> np.ndarray:
    kernel = KERNEL.copy()
    kernel[60, 1] = value
    return kernel


def variables(*arrays: np.ndarray, of: str = "dense") -> bytes:
    def fill(root: Any) -> None:
        for place, values in enumerate(arrays):
            root[f"layers/{of}/vars/{place}"] = values

    return weights(fill)


FLAT = np.zeros(363, np.float32)
CONVOLUTION = network(layer("Conv2D", filters=2, kernel_size=[3, 3], name="conv"))
UNFIT: dict[str, tuple[dict[str, Any], str]] = {  # parts of the file
    "missing": ({"h5": variables(KERNEL)}, "Expected 363 weights.* Received: 360"),
    "wider": ({"h5": variables(np.zeros((120, 4), np.float32), BIAS)}, "shape"),
    "turned": ({"h5": variables(KERNEL.T, BIAS)}, "shape"),
    "flat": ({"h5": variables(KERNEL.ravel(), BIAS)}, "shape"),
    "no number": ({"h5": variables(one_that_is(np.nan), BIAS)}, "NaN or infinite"),
    "infinite": ({"h5": variables(one_that_is(-np.inf), BIAS)}, "NaN or infinite"),
    "another layer's": ({"h5": variables(FLAT, of="conv2d")}, "dense.* received 0 variables"),
    "layers unfit for each other": ({"config": CONVOLUTION}, "cannot build"),
}


@pytest.mark.parametrize(("parts", "words"), UNFIT.values(), ids=UNFIT)
def test_weights_and_layers_that_do_not_fit_are_refused(tmp_path, parts, words):
    with pytest.raises(IncompatibleModel, match=words):
        open_file(write(tmp_path / "m.keras", **parts))


@pytest.mark.parametrize("opener", [open_file, lambda path: load_model(read_archive(path))])
def test_a_model_that_declares_terabytes_is_refused_before_it_gets_any(tmp_path, opener):
    huge = [
        layer("Dense", units=1 << 20, name="wide"),
        layer("Dense", units=1 << 20, name="wider"),
    ]
    path = write(tmp_path / "m.keras", network(*huge))
    open_file(write(tmp_path / "small.keras"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(IncompatibleModel, match="Expected 1099516871019 weights"):
        opener(path)

    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mb < 100


def test_after_a_refusal_keras_does_not_fill_the_refused_variables_in(tmp_path):
    path = write(tmp_path / "m.keras", network(layer("Dense", units=1 << 30, name="wide")))
    with pytest.raises(IncompatibleModel):
        open_file(path)

    with keras.StatelessScope():
        pass  # leaving it initialises what waits, in this thread


def every_kind_of_layer() -> dict[str, Any]:
    """Networks that between them need every rule of the list: images to (N, 3)."""
    layers = keras.layers
    images = (HEIGHT, WIDTH, 1)
    return {
        "our own pooling": [layers.Reshape(images), layers.AveragePooling2D(2), layers.Flatten()],
        "preprocessing": [
            layers.Reshape(images),
            layers.RandomRotation(0.1),
            layers.RandomFlip(),
            layers.CenterCrop(8, 8),
            layers.Resizing(6, 6),
            layers.Normalization(mean=3.0, variance=2.0),
            layers.Flatten(),
        ],
        "pipeline": [layers.Reshape(images), layers.Pipeline([layers.Rescaling(2.0)])],
        "convolutions": [
            layers.Reshape(images),
            layers.SpectralNormalization(layers.Conv2D(2, 3, activation="hard_tanh")),
            layers.BatchNormalization(),
            layers.GlobalMaxPooling2D(),
        ],
        "recurrence": [layers.Bidirectional(layers.LSTM(4, recurrent_initializer="orthogonal"))],
        "stacked cells": [layers.RNN([layers.GRUCell(4), layers.LSTMCell(3)])],
        "attention": [
            layers.TimeDistributed(layers.Dense(4)),
            layers.EinsumDense("ijk,kl->ijl", (HEIGHT, 5)),
        ],
    }


@pytest.mark.parametrize("name", list(every_kind_of_layer()))
def test_builtin_layers_come_back_as_they_were(tmp_path, name, images):
    inputs = keras.Input((HEIGHT, WIDTH), dtype="uint8")
    front = keras.layers.Rescaling(1 / 255)
    back = [keras.layers.Flatten(), keras.layers.Dense(LABELS, "softmax")]
    model = keras.Sequential([inputs, front, *every_kind_of_layer()[name], *back])
    path = tmp_path / "m.keras"
    model.save(path)

    assert np.allclose(open_file(path).predict(images), model(images, training=False), atol=1e-5)


def test_opening_leaves_nothing_beside_the_file(tmp_path, monkeypatch):
    """Keras unpacks weights beside the file when it finds little memory."""
    monkeypatch.setattr("keras.src.saving.saving_lib.is_memory_sufficient", lambda _model: False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "bundle").mkdir()
    path = write(tmp_path / "bundle" / "m.keras")
    (tmp_path / "bundle").chmod(0o500)

    assert load_model(read_archive(path)).count_params() == 363
    assert list((tmp_path / "bundle").iterdir()) == [path]
    assert list((tmp_path / "elsewhere").iterdir()) == []
