"""Models that were trained elsewhere become bundles that answer as they did."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from foreign_networks import HEIGHT, WIDTH, dense, noise, request, saved, sequential, wrap

import model_store.making.importing
from model_store.bundle import open_model
from model_store.engines.keras import load_model
from model_store.engines.keras_archive import read_archive
from model_store.errors import IncompatibleModel, UnsafeModel, UnsupportedFormat
from model_store.making.importing import import_model
from model_store.manifest import BundleContents
from model_store.pixels.preprocessing import encode_png
from model_store.sources import open_unlabelled
from model_store.store.store import ModelStore


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture
def images() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return noise()


def notebook_network(size: int, labels: int) -> Any:
    """Return the notebook's network exactly as it spells it, with a fitted optimizer."""
    with pytest.warns(UserWarning, match="input_shape"):
        first = keras.layers.Dense(512, input_shape=(size,))
    model = keras.models.Sequential()
    model.add(first)
    model.add(keras.layers.Activation("relu"))
    model.add(keras.layers.Dropout(0.2))
    model.add(keras.layers.Dense(512))
    model.add(keras.layers.Activation("relu"))
    model.add(keras.layers.Dropout(0.2))
    model.add(keras.layers.Dense(labels))
    model.add(keras.layers.Activation("softmax"))
    model.compile(loss="categorical_crossentropy", metrics=["accuracy"], optimizer="adam")
    x = np.random.default_rng(0).random((16, size), np.float32)
    model.fit(x, np.eye(labels)[np.arange(16) % labels], verbose=0)
    return model


def plain(*layers: Any) -> Any:
    """Return a network that takes rows of pixels, as flattened by hand."""
    return sequential(*layers or [dense(3, "softmax")], shape=(HEIGHT * WIDTH,))


def two_inputs() -> Any:
    inputs = [keras.Input((HEIGHT * WIDTH,)) for _ in range(2)]
    return keras.Model(inputs, dense(3, "softmax")(keras.layers.Add()(inputs)))


def test_the_notebooks_model_answers_as_it_did_without_its_optimizer(store, tmp_path, images):
    model = notebook_network(HEIGHT * WIDTH, 3)
    expected = model(images.reshape(6, -1) / np.float32(255)).numpy()

    path = saved(model, tmp_path)
    bundle = import_model(store, "notebook", request(path)).bundle

    assert [each.kind for each in bundle.manifest.layers] == [
        "Rescaling",
        "Flatten",
        "Dense",
        "Activation",
        "Dropout",
        "Dense",
        "Activation",
        "Dropout",
        "Dense",
        "Activation",
    ]
    assert store.current("notebook") is not None
    for engine in ("keras", "openvino-f32"):
        answers = open_model(bundle, engine).predict(images)  # type: ignore[arg-type]  # a literal
        assert np.allclose(answers, expected, atol=1e-5), engine
    published = bundle.folder / "model.keras"
    with zipfile.ZipFile(published) as archive:
        assert b"optimizer" not in archive.read("model.weights.h5")
        assert b"compile_config" not in archive.read("config.json")
    assert published.stat().st_size < 0.5 * path.stat().st_size


def test_without_examples_it_says_how_much_speed_is_left(store, tmp_path, monkeypatch):
    path = saved(plain(), tmp_path)
    real = model_store.making.importing.assemble

    def with_fast_int8(*arguments: Any) -> BundleContents:  # whether this CPU has it or not
        made = real(*arguments)
        exact = made.engines["openvino-f32"]
        rounded = made.engines.get("openvino-int8", exact)
        engines = {
            **made.engines,
            "openvino-f32": exact.model_copy(update={"latency_ms": {"1": 9.0}}),
            "openvino-int8": rounded.model_copy(update={"latency_ms": {"1": 2.5}}),
        }
        return made.model_copy(update={"engines": engines, "default_engine": "openvino-int8"})

    monkeypatch.setattr("model_store.making.importing.assemble", with_fast_int8)

    imported = import_model(store, "plain", request(path))

    assert imported.bundle.manifest.default_engine == "openvino-f32"
    assert any(
        "openvino-int8 is 3.6 times as fast" in note and "--images FOLDER" in note
        for note in imported.notes
    )


def test_examples_are_measured_on_and_kept_as_probes(store, tmp_path, images):
    path = saved(plain(), tmp_path)
    examples = tmp_path / "examples"
    for folder in ("a", "b"):
        (examples / folder).mkdir(parents=True)
        for index, image in enumerate(images):
            (examples / folder / f"{index}.png").write_bytes(encode_png(image))

    asked = request(path, images=open_unlabelled(examples))
    manifest = import_model(store, "plain", asked).bundle.manifest

    parity = manifest.engines["openvino-f32"].parity
    assert parity.images == 12
    assert len(manifest.probes) == 10 + 8


def test_an_example_that_cannot_be_read_is_left_out_and_named(store, tmp_path, images):
    path = saved(plain(), tmp_path)
    folder = tmp_path / "examples" / "a"
    folder.mkdir(parents=True)
    (folder / "0-cut.png").write_bytes(encode_png(images[0])[:40])
    for index, image in enumerate(images):
        (folder / f"{index}.png").write_bytes(encode_png(image))

    asked = request(path, images=open_unlabelled(tmp_path / "examples"))
    imported = import_model(store, "plain", asked)

    assert [note for note in imported.notes if "Left out of the examples: a/0-cut.png: " in note]
    manifest = imported.bundle.manifest
    assert manifest.engines["openvino-f32"].parity.images == len(images)
    assert len(manifest.probes) == 10 + min(8, len(images))


def test_examples_that_are_no_images_are_refused(store, tmp_path):
    path = saved(plain(), tmp_path)
    (tmp_path / "examples" / "bad").mkdir(parents=True)
    (tmp_path / "examples" / "bad" / "broken.png").write_text("hello")

    with pytest.raises(UnsupportedFormat, match=r"^bad/broken\.png: "):
        import_model(store, "new", request(path, images=open_unlabelled(tmp_path / "examples")))
    assert store.names() == []


REFUSALS: dict[str, tuple[Callable[[], Any], dict[str, Any], str]] = {
    "a sigmoid": (lambda: plain(dense(3, "sigmoid")), {}, "Received: sigmoid"),
    "a ReLU": (lambda: plain(dense(3, "relu")), {}, "Received: relu"),
    "logarithms": (lambda: plain(dense(3, "log_softmax")), {}, "Received: log_softmax"),
    "another size": (
        plain,
        {"height": 11},
        r"\(110,\), \(11, 10\).*Received: \(120,\)",
    ),
    "colour": (
        lambda: sequential(keras.layers.Flatten(), dense(3), shape=(HEIGHT, WIDTH, 3)),
        {},
        r"grayscale. Received: \(12, 10, 3\)",
    ),
    "two inputs": (two_inputs, {}, "one input and one output. Received: 2 and 1"),
}


@pytest.mark.parametrize(("build", "options", "words"), REFUSALS.values(), ids=REFUSALS)
def test_networks_that_do_not_fit_are_refused_in_words(build, options, words):
    with pytest.raises(IncompatibleModel, match=words):
        wrap(build(), **options)


def test_a_model_trained_on_raw_pixels_gets_them_when_told(images):
    model = plain()

    wrapped, _ = wrap(model, pixels="0-255")

    assert np.allclose(wrapped(images), model(images.reshape(6, -1).astype(np.float32)), atol=1e-5)


def test_a_published_model_can_be_imported_again(shared_tiny_store, images):
    model = load_model(read_archive(shared_tiny_store.bundle("tiny").folder / "model.keras"))

    wrapped, _ = wrap(model)

    assert [type(each) for each in wrapped.layers] == [type(each) for each in model.layers]
    assert np.allclose(wrapped(images), model(images))


def test_a_real_lambda_is_refused_and_does_not_run(store, tmp_path):
    marker = tmp_path / "it ran"
    name = str(marker)
    code = keras.layers.Lambda(lambda x: x if Path(name).touch() is None else x)
    model = plain(dense(3, "softmax"), code)
    path = saved(model, tmp_path)
    marker.unlink(missing_ok=True)

    with pytest.raises(UnsafeModel, match="Lambda"):
        import_model(store, "evil", request(path))
    assert not marker.exists()
    assert store.names() == []
