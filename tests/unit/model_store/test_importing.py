"""Models that were trained elsewhere become bundles that answer as they did."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_files import layer, network, write

import model_store.making.importing
from model_store.bundle import open_model
from model_store.errors import IncompatibleModel, UnsafeModel, UnsupportedFormat
from model_store.making.assembling import Assembled
from model_store.making.importing import ImportRequest, Pixels, import_model, wrap_network
from model_store.making.probes import draw_images
from model_store.pixels.preprocessing import encode_png
from model_store.sources import open_unlabelled
from model_store.spec import ImageSpec
from model_store.store.store import ModelStore

HEIGHT, WIDTH = 12, 10
LABELS = ("a", "b", "c")


@pytest.fixture(autouse=True)
def _unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_store.making.exporting._MEASURING_SECONDS", 0.0)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture
def images() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(3).integers(0, 256, (6, HEIGHT, WIDTH), np.uint8)


def notebook_network(size: int, labels: int) -> Any:
    """Return the notebook's network exactly as it spells it, with a fitted optimizer."""
    import keras

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


def small(*layers: Any, shape: Sequence[int] = (HEIGHT * WIDTH,)) -> Any:
    import keras

    return keras.Sequential([keras.Input(tuple(shape)), *layers])


def dense(units: int, activation: str | None = None) -> Any:
    import keras

    initializer = keras.initializers.RandomNormal(stddev=0.3, seed=units)
    return keras.layers.Dense(units, activation=activation, kernel_initializer=initializer)


def request(
    path: Path, labels: tuple[str, ...] = LABELS, pixels: Pixels = "auto", **options: Any
) -> ImportRequest:
    spec = ImageSpec.for_size(options.pop("height", HEIGHT), options.pop("width", WIDTH))
    return ImportRequest(path, labels, spec, pixels, **options)


def wrap(model: Any, asked: ImportRequest, notes: list[str]) -> Any:
    return wrap_network(model, asked, draw_images(asked.spec, 8), notes)


def saved(model: Any, folder: Path) -> Path:
    model.save(folder / "model.keras")
    return folder / "model.keras"


def test_the_notebooks_model_answers_as_it_did(
    store: ModelStore, tmp_path: Path, images: Any
) -> None:
    model = notebook_network(HEIGHT * WIDTH, 3)
    expected = model(images.reshape(6, -1) / np.float32(255)).numpy()

    imported = import_model(store, "notebook", request(saved(model, tmp_path)))

    bundle = imported.bundle
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


def test_the_published_file_holds_no_optimizer(store: ModelStore, tmp_path: Path) -> None:
    import zipfile

    path = saved(notebook_network(HEIGHT * WIDTH, 3), tmp_path)
    bundle = import_model(store, "notebook", request(path)).bundle
    published = bundle.folder / "model.keras"

    with zipfile.ZipFile(published) as archive:
        assert b"optimizer" not in archive.read("model.weights.h5")
        assert b"compile_config" not in archive.read("config.json")
    assert published.stat().st_size < 0.5 * path.stat().st_size


def test_plain_keras_opens_the_published_file(
    store: ModelStore, tmp_path: Path, images: Any
) -> None:
    import keras

    path = saved(small(dense(3, "softmax")), tmp_path)
    bundle = import_model(store, "plain", request(path)).bundle

    model = keras.saving.load_model(bundle.folder / "model.keras")
    assert np.allclose(model(images), open_model(bundle, "keras").predict(images), atol=1e-6)


def test_without_examples_a_rounded_engine_is_not_the_default(
    store: ModelStore, tmp_path: Path
) -> None:
    path = saved(small(dense(3, "softmax")), tmp_path)

    imported = import_model(store, "plain", request(path))

    assert imported.bundle.manifest.default_engine in ("openvino-f32", "keras")


def test_without_examples_it_says_how_much_speed_is_left(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(small(dense(3, "softmax")), tmp_path)
    real = model_store.making.importing.assemble

    def with_fast_int8(*arguments: Any) -> Assembled:  # whether this CPU has it or not
        made = real(*arguments)
        exact = made.engines["openvino-f32"]
        rounded = made.engines.get("openvino-int8", exact)
        engines = {
            **made.engines,
            "openvino-f32": exact.model_copy(update={"latency_ms": {"1": 9.0}}),
            "openvino-int8": rounded.model_copy(update={"latency_ms": {"1": 2.5}}),
        }
        return replace(made, engines=engines, default_engine="openvino-int8")

    monkeypatch.setattr("model_store.making.importing.assemble", with_fast_int8)

    imported = import_model(store, "plain", request(path))

    assert imported.bundle.manifest.default_engine == "openvino-f32"
    assert any(
        "openvino-int8 is 3.6 times as fast" in note and "--images FOLDER" in note
        for note in imported.notes
    )


def test_examples_are_measured_on_and_kept_as_probes(
    store: ModelStore, tmp_path: Path, images: Any
) -> None:
    path = saved(small(dense(3, "softmax")), tmp_path)
    examples = tmp_path / "examples"
    for folder in ("a", "b"):
        (examples / folder).mkdir(parents=True)
        for index, image in enumerate(images):
            (examples / folder / f"{index}.png").write_bytes(encode_png(image))

    asked = request(path, images=open_unlabelled(examples))
    manifest = import_model(store, "plain", asked).bundle.manifest

    parity = manifest.engines["openvino-f32"].parity
    assert parity is not None
    assert parity.images == 12
    assert len(manifest.probes) == 10 + 8


def test_an_example_that_is_no_image_is_named(store: ModelStore, tmp_path: Path) -> None:
    path = saved(small(dense(3, "softmax")), tmp_path)
    (tmp_path / "examples" / "bad").mkdir(parents=True)
    (tmp_path / "examples" / "bad" / "broken.png").write_text("hello")

    with pytest.raises(UnsupportedFormat, match=r"^bad/broken\.png: "):
        import_model(store, "new", request(path, images=open_unlabelled(tmp_path / "examples")))
    assert store.names() == []


@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH), (HEIGHT, WIDTH, 1)])
def test_networks_that_take_images_need_no_flattening(
    shape: tuple[int, ...], tmp_path: Path, images: Any
) -> None:
    import keras

    model = small(keras.layers.Flatten(), dense(3, "softmax"), shape=shape)
    expected = model((images / np.float32(255)).reshape(6, *shape)).numpy()

    wrapped = wrap(model, request(tmp_path), [])

    assert wrapped.inputs[0].shape == (None, HEIGHT, WIDTH)
    assert np.allclose(wrapped(images), expected, atol=1e-6)


def test_logits_get_a_softmax_and_a_note(tmp_path: Path, images: Any) -> None:
    import keras

    model = small(dense(8, "relu"), dense(3), keras.layers.Dropout(0.1))
    logits = model(images.reshape(6, -1) / np.float32(255))
    notes: list[str] = []

    wrapped = wrap(model, request(tmp_path), notes)

    assert np.allclose(wrapped(images), keras.ops.softmax(logits), atol=1e-6)
    assert any("a softmax was added" in note for note in notes)


@pytest.mark.parametrize("use_bias", [True, False])
def test_a_single_sigmoid_becomes_two_labels(tmp_path: Path, images: Any, use_bias: bool) -> None:
    import keras

    last = keras.layers.Dense(1, "sigmoid", use_bias=use_bias, bias_initializer="ones")
    model = small(dense(8, "relu"), last)
    yes = model(images.reshape(6, -1) / np.float32(255)).numpy()[:, 0]
    notes: list[str] = []

    wrapped = wrap(model, request(tmp_path, ("no", "yes")), notes)

    assert np.allclose(wrapped(images), np.stack([1 - yes, yes], axis=1), atol=1e-6)
    assert any("no is 1 - p, yes is p" in note for note in notes)


@pytest.mark.parametrize("activation", ["sigmoid", "relu", "tanh", "log_softmax"])
def test_other_endings_are_refused_by_name(tmp_path: Path, activation: str) -> None:
    with pytest.raises(IncompatibleModel, match=f"Received: {activation}"):
        wrap(small(dense(3, activation)), request(tmp_path), [])


def test_a_model_that_rescales_itself_gets_raw_pixels(tmp_path: Path, images: Any) -> None:
    import keras

    model = small(
        keras.layers.Rescaling(1 / 127.5, offset=-1),
        keras.layers.Flatten(),
        dense(3, "softmax"),
        shape=(HEIGHT, WIDTH),
    )
    notes: list[str] = []

    wrapped = wrap(model, request(tmp_path), notes)

    assert np.allclose(wrapped(images), model(images.astype(np.float32)), atol=1e-6)
    assert any("Rescaling" in note and "0-255" in note for note in notes)


def test_a_model_trained_on_raw_pixels_gets_them_when_told(tmp_path: Path, images: Any) -> None:
    model = small(dense(3, "softmax"))

    wrapped = wrap(model, request(tmp_path, pixels="0-255"), [])

    assert np.allclose(wrapped(images), model(images.reshape(6, -1).astype(np.float32)), atol=1e-5)


def test_a_published_model_can_be_imported_again(
    store: ModelStore, tiny_store: ModelStore, images: Any
) -> None:
    bundle = tiny_store.bundle("tiny")

    again = import_model(store, "again", request(bundle.folder / "model.keras")).bundle

    assert [each.kind for each in again.manifest.layers] == [
        each.kind for each in bundle.manifest.layers
    ]
    assert np.allclose(
        open_model(again, "keras").predict(images), open_model(bundle, "keras").predict(images)
    )


def test_a_functional_model_runs_on_keras_alone(
    store: ModelStore, tmp_path: Path, images: Any
) -> None:
    import keras

    inputs = keras.Input((HEIGHT * WIDTH,))
    left, right = dense(8, "relu")(inputs), dense(8, "tanh")(inputs)
    model = keras.Model(inputs, dense(3, "softmax")(keras.layers.Concatenate()([left, right])))

    imported = import_model(store, "branches", request(saved(model, tmp_path)))

    assert list(imported.bundle.manifest.engines) == ["keras"]
    expected = model(images.reshape(6, -1) / np.float32(255)).numpy()
    assert np.allclose(open_model(imported.bundle).predict(images), expected, atol=1e-6)


def test_a_convolutional_model_is_served_too(
    store: ModelStore, tmp_path: Path, images: Any
) -> None:
    import keras

    model = small(
        keras.layers.Conv2D(4, 3, activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        dense(3, "softmax"),
        shape=(HEIGHT, WIDTH, 1),
    )

    bundle = import_model(store, "conv", request(saved(model, tmp_path))).bundle

    expected = model((images / np.float32(255))[..., None], training=False).numpy()
    assert np.allclose(open_model(bundle).predict(images), expected, atol=1e-5)


def test_wrong_label_counts_name_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(IncompatibleModel, match=r"Expected 2 outputs.*a, b\. Received: 3"):
        wrap(small(dense(3, "softmax")), request(tmp_path, ("a", "b")), [])


def test_a_wrong_size_names_what_would_fit(tmp_path: Path) -> None:
    with pytest.raises(IncompatibleModel, match=r"\(110,\), \(11, 10\).*Received: \(120,\)"):
        wrap(small(dense(3, "softmax")), request(tmp_path, height=11), [])


def test_color_models_are_refused(tmp_path: Path) -> None:
    import keras

    model = small(keras.layers.Flatten(), dense(3, "softmax"), shape=(HEIGHT, WIDTH, 3))

    with pytest.raises(IncompatibleModel, match=r"grayscale. Received: \(12, 10, 3\)"):
        wrap(model, request(tmp_path), [])


def test_two_inputs_are_refused(tmp_path: Path) -> None:
    import keras

    a, b = keras.Input((120,)), keras.Input((120,))
    model = keras.Model([a, b], dense(3, "softmax")(keras.layers.Add()([a, b])))

    with pytest.raises(IncompatibleModel, match="one input and one output. Received: 2 and 1"):
        wrap(model, request(tmp_path), [])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(
    store: ModelStore, tmp_path: Path, value: float
) -> None:
    model = small(dense(3, "softmax"))
    kernel = model.layers[0].kernel
    kernel.assign(np.where(np.arange(120)[:, None] == 5, value, np.asarray(kernel.value)))

    with pytest.raises(IncompatibleModel, match="NaN or infinite weights"):
        import_model(store, "broken", request(saved(model, tmp_path)))
    assert store.names() == []


def test_a_real_lambda_is_refused_and_does_not_run(store: ModelStore, tmp_path: Path) -> None:
    import keras

    marker = tmp_path / "it ran"
    name = str(marker)
    code = keras.layers.Lambda(lambda x: x if Path(name).touch() is None else x)
    model = small(dense(3, "softmax"), code)
    path = saved(model, tmp_path)
    marker.unlink(missing_ok=True)

    with pytest.raises(UnsafeModel, match="Lambda"):
        import_model(store, "evil", request(path))
    assert not marker.exists()
    assert store.names() == []


def test_a_class_of_the_users_own_is_refused(store: ModelStore, tmp_path: Path) -> None:
    import keras

    @keras.saving.register_keras_serializable("strangers")
    class Doubling(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
        def call(self, inputs: Any) -> Any:
            return inputs * 2

    path = saved(small(Doubling(), dense(3, "softmax")), tmp_path)

    with pytest.raises(UnsafeModel, match="Doubling"):
        import_model(store, "own", request(path))


def test_nothing_is_fetched_from_files_a_layer_names(store: ModelStore, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("a\nb\n")
    lookup = layer("StringLookup", vocabulary=str(secret))

    with pytest.raises(UnsafeModel, match="StringLookup"):
        import_model(store, "evil", request(write(tmp_path / "m.keras", network(lookup))))
