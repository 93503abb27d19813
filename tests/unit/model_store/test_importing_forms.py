"""Every form in which Keras 3 has written a network of built-in layers comes in alike."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from foreign_networks import (
    LABELS,
    SIZE,
    branched,
    dense,
    floats,
    functional,
    noise,
    request,
    saved,
    sequential,
    wrap,
)
from keras_files import edit_config

from model_store.bundle import Bundle, open_model
from model_store.engines.keras import load_model
from model_store.engines.keras_archive import read_archive
from model_store.errors import IncompatibleModel
from model_store.making.assembling import save_model
from model_store.making.importing import import_model
from model_store.store.store import ModelStore

Config = dict[str, Any]


@pytest.fixture(scope="module")
def images() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return noise()


def plain() -> Any:
    return functional(keras.layers.Flatten(), dense(6, "relu"), dense(3, "softmax"))


def bundled(path: Path, labels: tuple[str, ...] = LABELS) -> tuple[Any, list[str]]:
    """Return the network that a bundle made of a file holds, opened again, and the notes."""
    network, notes = wrap(load_model(read_archive(path)), labels)
    save_model(network, path.with_name("bundled.keras"))
    return load_model(read_archive(path.with_name("bundled.keras"))), notes


def imported(path: Path) -> Bundle:
    return import_model(ModelStore(path.parent / "models"), "new", request(path)).bundle


def layers_of(config: Config) -> list[Config]:
    return list(config["config"]["layers"])


def lists_of_tensors(config: Config) -> None:
    for key in ("input_layers", "output_layers"):
        config["config"][key] = [config["config"][key]]


def dtypes(policy: Any) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        for layer in layers_of(config)[1:]:
            layer["config"]["dtype"] = policy

    return change


def policy(kind: str, module: str = "keras") -> Config:
    return {
        "module": module,
        "class_name": kind,
        "config": {"name": "float32"},
        "registered_name": None,
    }


def as_keras_3_0(config: Config) -> None:
    lists_of_tensors(config)
    dtypes("float32")(config)
    for layer in layers_of(config):
        for new in ("ragged", "optional", "quantization_config"):
            layer["config"].pop(new, None)
        initializer = layer["config"].get("kernel_initializer")
        if initializer is not None:
            layer["config"]["kernel_initializer"] = {
                "module": "keras.initializers",
                "class_name": "GlorotUniform",
                "config": {"seed": None},
                "registered_name": None,
            }


def as_keras_3_4(config: Config) -> None:
    lists_of_tensors(config)
    dtypes(policy("FloatDTypePolicy"))(config)
    for layer in layers_of(config):
        layer["config"].pop("quantization_config", None)


def as_keras_3_8(config: Config) -> None:
    lists_of_tensors(config)
    dtypes(policy("DTypePolicy"))(config)


def without_build_config(config: Config) -> None:
    for layer in layers_of(config):
        layer.pop("build_config", None)


def class_of(module: str, kind: str, registered: str | None) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        config |= {"module": module, "class_name": kind, "registered_name": registered}

    return change


FORMS: dict[str, Callable[[Config], None]] = {
    "3.13": lambda _: None,
    "3.0": as_keras_3_0,
    "3.4": as_keras_3_4,
    "3.8": as_keras_3_8,
    "no build_config": without_build_config,
    "registered": class_of("keras.src.models.functional", "Functional", "Functional"),
    "not registered": class_of("keras.src.models.functional", "Functional", None),
    "keras.Model": class_of("keras", "Model", None),
    "keras.models.Model": class_of("keras.models", "Model", None),
    "keras.dtype_policies": dtypes(policy("DTypePolicy", "keras.dtype_policies")),
}


@pytest.mark.parametrize("change", FORMS.values(), ids=FORMS)
def test_a_functional_file_of_any_keras_3_answers_as_it_did(tmp_path, images, change):
    model = plain()

    network, _ = bundled(edit_config(saved(model, tmp_path), change))

    assert np.allclose(network(images), model(floats(images)), atol=1e-5)
    assert is_foldable(network)  # so that the fast engines are made of it


def test_a_branch_in_lists_is_served_by_keras(tmp_path, images):
    inputs = keras.Input((*SIZE, 1))
    flat = keras.layers.Flatten()(inputs)
    both = keras.layers.Concatenate()([dense(4, "relu")(flat), dense(5, "tanh")(flat)])
    model = keras.Model([inputs], [dense(3, "softmax")(both)])

    bundle = imported(edit_config(saved(model, tmp_path), as_keras_3_0))

    assert list(bundle.manifest.engines) == ["keras"]
    answers = open_model(bundle).predict(images)
    assert np.allclose(answers, np.squeeze(model([floats(images)])), atol=1e-5)
    assert bundle.manifest.layers[-1].output_shape == (None, 3)


def same_name_twice() -> Any:
    first, second = dense(6, "relu"), dense(3, "softmax")
    first.name = second.name = "pixels"
    return functional(keras.Sequential([keras.layers.Flatten(), first]), second)


def one_layer_twice() -> Any:
    shared = dense(SIZE[0] * SIZE[1], "relu")
    return functional(keras.layers.Flatten(), shared, shared, dense(3, "softmax"))


def any_size() -> Any:
    layers = keras.layers.Resizing(4, 4), keras.layers.Flatten(), dense(3, "softmax")
    return functional(*layers, shape=(None, None, 1))


def mixed_precision() -> Any:
    layers = [dense(6, "relu"), dense(3, "softmax")]
    for layer in layers:
        layer.dtype_policy = "mixed_float16"
    return functional(keras.layers.Flatten(), *layers)


def average(ending: str | None) -> Any:
    inputs = keras.Input((*SIZE, 1))
    flat = keras.layers.Flatten()(inputs)
    other = keras.layers.Dense(3, ending)
    return keras.Model(inputs, keras.layers.Average()([dense(3, ending)(flat), other(flat)]))


NETWORKS: dict[str, Callable[[], Any]] = {
    "images without channels": lambda: functional(
        keras.layers.Flatten(), dense(3, "softmax"), shape=SIZE
    ),
    "logits before a dropout": lambda: functional(
        keras.layers.Flatten(), dense(8, "relu"), dense(3), keras.layers.Dropout(0.1)
    ),
    "a layer that is used twice": one_layer_twice,
    "layers of the same name on two levels": same_name_twice,
    "one for images of any size": any_size,
    "mixed precision": mixed_precision,
    "an average of probabilities": lambda: average("softmax"),
    "an average of logits": lambda: average(None),
    "branches that end in logits": lambda: branched(dense(3)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_any_form_answer_as_they_did(tmp_path, images, name):
    model = NETWORKS[name]()
    expected = model(floats(images)).numpy()
    if "logits" in name:
        expected = keras.ops.softmax(expected).numpy()

    network, notes = bundled(saved(model, tmp_path))

    assert network.outputs[0].dtype == "float32"
    assert np.allclose(network(images), expected, atol=1e-2 if name == "mixed precision" else 1e-6)
    assert ("It ends in logits; a softmax was added." in notes) == ("logits" in name)


def augmentation() -> list[Any]:
    layers = keras.layers
    return [
        layers.Resizing(*SIZE),
        layers.RandomFlip(),
        layers.RandomRotation(0.2),
        layers.RandomZoom(0.2),
        layers.RandomTranslation(0.2, 0.2),
        layers.RandomContrast(0.5),
        layers.RandomBrightness(0.5, value_range=(0, 1)),
    ]


def adapted() -> Any:
    normalization = keras.layers.Normalization()
    normalization.adapt(np.random.default_rng(0).uniform(0, 1, (30, *SIZE, 1)))
    return normalization


@pytest.mark.parametrize("kind", ["sequential", "functional", "nested"])
def test_layers_that_prepare_images_keep_the_fast_engine(tmp_path, images, kind):
    front, back = [*augmentation(), adapted()], [dense(6, "relu"), dense(3, "softmax")]
    if kind == "nested":
        front = [keras.Sequential(front)]
    layers = [*front, keras.layers.Flatten(), *back]
    model = functional(*layers) if kind == "functional" else sequential(*layers)
    expected = model(floats(images), training=False).numpy()

    network, _ = bundled(saved(model, tmp_path))

    assert is_foldable(network)
    assert np.allclose(network(images, training=False), expected, atol=1e-5)
    if kind == "nested":
        bundle = imported(saved(model, tmp_path))
        assert "openvino-f32" in bundle.manifest.engines
        for name in bundle.manifest.engines:
            assert np.allclose(open_model(bundle, name).predict(images), expected, atol=1e-2), name


def test_a_network_that_takes_bytes_gets_them(tmp_path, images):
    inputs = keras.Input(SIZE, dtype="uint8")
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, dense(3, "softmax")(flat))

    network, notes = bundled(saved(model, tmp_path))

    assert "It takes whole numbers; pixels reach it as 0-255." in notes
    assert np.allclose(network(images), model(images), atol=1e-5)


def test_a_network_that_was_never_built_says_what_to_do(tmp_path):
    with (
        pytest.warns(UserWarning, match="not yet been built"),
        pytest.raises(IncompatibleModel, match="never built. Call model.build"),
    ):
        bundled(saved(keras.Sequential([keras.layers.Flatten(), dense(3, "softmax")]), tmp_path))


def binary_heads() -> dict[str, list[Any]]:
    return {
        "a sigmoid unit": [dense(1, "sigmoid")],
        "a unit and a sigmoid": [dense(1), keras.layers.Activation("sigmoid")],
        "a sigmoid unit and a dropout": [dense(1, "sigmoid"), keras.layers.Dropout(0.5)],
        "a head of its own": [keras.Sequential([dense(4, "relu"), dense(1, "sigmoid")])],
        "a logit": [dense(1)],
        "a sigmoid unit without bias": [keras.layers.Dense(1, "sigmoid", use_bias=False)],
    }


@pytest.mark.parametrize("kind", ["sequential", "functional", "branches"])
@pytest.mark.parametrize("head", list(binary_heads()))
def test_one_output_becomes_two_labels(images, kind, head):
    front = [] if kind == "branches" else [keras.layers.Flatten(), dense(4, "relu")]
    build = {"sequential": sequential, "functional": functional, "branches": branched}[kind]
    model = build(*front, *binary_heads()[head])
    yes = model(floats(images), training=False).numpy()[:, 0]
    yes = 1 / (1 + np.exp(-yes)) if head == "a logit" else yes

    network, notes = wrap(model, ("no", "yes"), images)

    assert any("no is 1 - p, yes is p" in note for note in notes)
    assert np.allclose(network(images), np.stack([1 - yes, yes], axis=1), atol=1e-5)
    assert is_foldable(network) == (kind != "branches")


def is_foldable(network: Any) -> bool:
    from model_store.making.folding import NotFoldable, fold

    try:
        return bool(fold(network))
    except NotFoldable:
        return False


@pytest.mark.parametrize("ending", ["tanh", "softmax"])
def test_one_output_that_is_no_probability_is_refused(tmp_path, ending):
    with pytest.raises(IncompatibleModel, match=f"logit. Received: {ending} of one output"):
        bundled(saved(branched(dense(1, ending)), tmp_path), ("no", "yes"))
