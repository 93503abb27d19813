"""Models in other formats are named, with the command that converts them."""

import shlex
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras_files import layer, network, weights, write

from model_store.engines.keras_archive import read_archive
from model_store.errors import IncompatibleModel


def refusal(path: Path) -> str:
    with pytest.raises(IncompatibleModel) as refused:
        read_archive(path)
    return str(refused.value)


def test_an_hdf5_model_says_how_to_convert_it_and_that_works(tmp_path):
    network = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2, "softmax")])
    network.compile("adam", "mse")
    path = tmp_path / "my 'old' model.h5"
    network.save(path)

    sentence = refusal(path)

    assert "an HDF5 file, which can carry code" in sentence
    assert "compile=False" in sentence
    _, command = sentence.split("trust it: ")
    python, option, program = shlex.split(command)
    assert (python, option) == ("python", "-c")
    exec(program, {})  # noqa: S102  # as Python would, which would import Keras again
    converted = keras.saving.load_model(tmp_path / "my 'old' model-keras3.keras")
    x = np.random.default_rng(0).random((3, 6), np.float32)
    assert np.allclose(converted(x), network(x))


def legacy(module: str) -> dict[str, Any]:
    """Return a network that holds another, as Keras 2 writes it."""
    return network(layer("Functional", module, layers=[], name="inner"))


@pytest.mark.parametrize(
    "module", ["keras.engine.functional", "keras.src.engine.functional", "tf_keras.src.engine.x"]
)
def test_a_keras_2_model_is_named_with_its_command(tmp_path, module):
    sentence = refusal(write(tmp_path / "m.keras", legacy(module)))

    assert "m.keras, a model of Keras 2" in sentence
    assert "pip install tf-keras" in sentence
    assert sentence.count("compile=False") == 2
    assert str(tmp_path / "m-keras3.keras") in sentence


def test_a_saved_model_of_keras_is_named_with_its_command(tmp_path):
    for name in ("saved_model.pb", "keras_metadata.pb"):
        (tmp_path / name).write_bytes(b"\x08\x01")

    sentence = refusal(tmp_path)

    assert "a SavedModel folder of Keras 2" in sentence
    assert f'tf_keras.models.load_model("{tmp_path}", compile=False)' in sentence


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("m.weights.h5", weights(), "weights without layers"),
        ("m.tflite", b"\x1c\0\0\0TFL3rest", "a TensorFlow Lite model"),
        ("m.keras", b"\x1c\0\0\0TFL3rest", "a TensorFlow Lite model"),
        ("m.pt", b"PK\x03\x04rest", "a PyTorch model"),
        ("m.pth", b"\x80\x02rest", "a PyTorch model"),
        ("m.onnx", b"\x08\x07rest", "an ONNX model"),
        ("saved_model.pb", b"\x08\x01", "a part of a SavedModel"),
    ],
)
def test_other_formats_are_named(tmp_path, name, content, what):
    (tmp_path / name).write_bytes(content)

    sentence = refusal(tmp_path / name)

    assert f"Received: {name}, {what}" in sentence
    assert "model.save('model.keras')" in sentence or "Give the folder" in sentence


@pytest.mark.parametrize(
    ("file", "what"), [("saved_model.pb", "a SavedModel folder, which"), ("other", "a folder")]
)
def test_other_folders_say_what_to_give(tmp_path, file, what):
    (tmp_path / file).write_bytes(b"\x08\x01")

    sentence = refusal(tmp_path)

    assert what in sentence
    assert "model.save('model.keras')" in sentence
