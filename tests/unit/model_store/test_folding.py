from typing import Any

import numpy as np
import pytest

from model_store.engines.keras import runtime

keras = runtime()[0]

from dense_networks import LABELS, SIZE, compute, noise  # noqa: E402 -- after a quiet import

from model_store.making.folding import NotFoldable, fold  # noqa: E402

L = keras.layers
PIXELS = SIZE[0] * SIZE[1]


def dense(units: int, activation: str | None = None, seed: int = 0, **options: Any) -> Any:
    initializer = keras.initializers.RandomNormal(stddev=0.6, seed=seed)
    return L.Dense(
        units, activation, kernel_initializer=initializer, bias_initializer=initializer, **options
    )


def sequential(*layers: Any) -> Any:
    return keras.Sequential([keras.Input(SIZE, dtype="uint8"), *layers])


def batch_normalization(seed: int) -> Any:
    def uniform(low: float, high: float) -> Any:
        return keras.initializers.RandomUniform(low, high, seed=seed)

    return L.BatchNormalization(
        beta_initializer=uniform(-1, 1),
        gamma_initializer=uniform(0.5, 2),
        moving_mean_initializer=uniform(-1, 1),
        moving_variance_initializer=uniform(0.5, 2),
    )


def per_pixel_normalization() -> Any:
    rng = np.random.default_rng(0)
    mean, variance = rng.uniform(0, 255, SIZE), rng.uniform(1, 90, SIZE) ** 2
    return L.Normalization(axis=(1, 2), mean=mean, variance=variance)


def functional() -> Any:
    images = keras.Input(SIZE, dtype="uint8")
    flat = L.Flatten()(L.Rescaling(1 / 255)(images))
    return keras.Model(images, dense(LABELS, "softmax")(dense(8, "relu", seed=1)(flat)))


def wrapped() -> Any:
    inner = keras.Sequential(
        [keras.Input((PIXELS,)), dense(8, "relu"), L.Dropout(0.5), dense(LABELS, "softmax", 1)]
    )
    return sequential(L.Rescaling(1 / 255), L.Reshape((PIXELS,)), inner)


FOLDABLE = {
    "the notebook's": lambda: sequential(
        L.Rescaling(1 / 255),
        L.Flatten(),
        dense(16),
        L.ReLU(),
        L.Dropout(0.2),
        dense(16, seed=1),
        L.ReLU(),
        L.Dropout(0.2),
        dense(LABELS, seed=2),
        L.Softmax(),
    ),
    "activations in Dense": lambda: sequential(
        L.Flatten(), L.Rescaling(1 / 127.5, offset=-1), dense(8, "relu"), dense(LABELS, "softmax")
    ),
    "Activation layers": lambda: sequential(
        L.Flatten(),
        L.Rescaling(1 / 255),
        dense(8),
        L.Activation("relu"),
        dense(LABELS),
        L.Activation("softmax"),
    ),
    "normalization of each pixel": lambda: sequential(
        per_pixel_normalization(), L.Flatten(), dense(8, "relu"), dense(LABELS, "softmax", 1)
    ),
    "batch normalization before and after activations": lambda: sequential(
        L.Rescaling(1 / 255),
        L.Flatten(),
        dense(8, use_bias=False),
        batch_normalization(0),
        L.ReLU(),
        dense(8, "relu", 1),
        batch_normalization(1),
        dense(LABELS, "softmax", 2),
    ),
    "batch normalization of pixels": lambda: sequential(
        L.Flatten(), L.Rescaling(1 / 255), batch_normalization(0), dense(LABELS, "softmax")
    ),
    "other activations": lambda: sequential(
        L.Rescaling(1 / 255),
        L.Flatten(),
        dense(8, "tanh"),
        dense(8, "sigmoid", 1),
        dense(8, "silu", 2),
        dense(8, "linear", 3),
        dense(LABELS, "softmax", 4),
    ),
    "layers that only train": lambda: sequential(
        L.Rescaling(1 / 255),
        L.GaussianNoise(0.5),
        L.Flatten(),
        dense(8, "relu"),
        L.GaussianDropout(0.5),
        L.AlphaDropout(0.5),
        L.ActivityRegularization(l2=1.0),
        dense(LABELS, "softmax", 1),
    ),
    "functional": functional,
    "a wrapped network": wrapped,
    "means over blocks": lambda: sequential(
        L.Rescaling(1 / 255),
        L.Reshape((*SIZE, 1)),
        L.AveragePooling2D(2),
        L.Flatten(),
        dense(8, "relu"),
        dense(LABELS, "softmax", 1),
    ),
    "no hidden layer": lambda: sequential(L.Flatten(), dense(LABELS, "softmax")),
}


@pytest.mark.parametrize("build", FOLDABLE.values(), ids=FOLDABLE.keys())
def test_folded_layers_compute_what_the_network_does(build):
    model, images = build(), noise(12)

    network = fold(model)

    expected = model.predict(images, verbose=0)
    assert np.ptp(expected, axis=0).max() > 0.01, "the network must depend on its pixels"
    np.testing.assert_allclose(compute(network, images), expected, atol=2e-5)


def branched() -> Any:
    images = keras.Input(SIZE, dtype="uint8")
    flat = L.Flatten()(L.Rescaling(1 / 255)(images))
    hidden = dense(8, "relu")(flat)
    joined = L.Add()([hidden, dense(8, "relu", 1)(flat)])
    return keras.Model(images, dense(LABELS, "softmax", 2)(joined))


def skipping() -> Any:
    images = keras.Input(SIZE, dtype="uint8")
    flat = L.Flatten()(L.Rescaling(1 / 255)(images))
    first = dense(LABELS, "relu")(flat)
    dense(LABELS, "relu", 1)(first)
    return keras.Model(images, L.Softmax()(dense(LABELS, seed=2)(L.Concatenate()([first, flat]))))


def convolutional() -> Any:
    return sequential(L.Reshape((*SIZE, 1)), L.Conv2D(2, 3), L.Flatten(), dense(LABELS, "softmax"))


NOT_FOLDABLE = {
    "two branches": branched,
    "a shortcut": skipping,
    "a convolution": convolutional,
    "a Dense over columns": lambda: sequential(
        L.Rescaling(1 / 255), dense(LABELS), L.Flatten(), dense(LABELS, "softmax", 1)
    ),
    "no softmax": lambda: sequential(L.Flatten(), dense(LABELS, "sigmoid")),
    "a layer after the softmax": lambda: sequential(
        L.Flatten(), dense(LABELS, "softmax"), dense(LABELS, seed=1)
    ),
    "a softmax in between": lambda: sequential(
        L.Flatten(), dense(8, "softmax"), dense(LABELS, "softmax", 1)
    ),
    "a softmax of an activation": lambda: sequential(
        L.Flatten(), dense(LABELS, "relu"), L.Softmax()
    ),
    "an activation of pixels": lambda: sequential(L.Flatten(), L.ReLU(), dense(LABELS, "softmax")),
    "an unknown activation": lambda: sequential(
        L.Flatten(), dense(8, "softplus"), dense(LABELS, "softmax", 1)
    ),
    "a capped ReLU": lambda: sequential(
        L.Flatten(), dense(8), L.ReLU(max_value=6), dense(LABELS, "softmax", 1)
    ),
    "a leaky ReLU": lambda: sequential(
        L.Flatten(), dense(8), L.ReLU(negative_slope=0.1), dense(LABELS, "softmax", 1)
    ),
    "means that overlap": lambda: sequential(
        L.Reshape((*SIZE, 1)),
        L.AveragePooling2D(2, strides=1),
        L.Flatten(),
        dense(LABELS, "softmax"),
    ),
    "means of pixels that are not scaled alike": lambda: sequential(
        per_pixel_normalization(),
        L.Reshape((*SIZE, 1)),
        L.AveragePooling2D(2),
        L.Flatten(),
        dense(LABELS, "softmax"),
    ),
    "means of pixels that are not shifted alike": lambda: sequential(
        L.Rescaling(1 / 255, offset=[k / 10 for k in range(SIZE[1])]),
        L.Reshape((*SIZE, 1)),
        L.AveragePooling2D(2),
        L.Flatten(),
        dense(LABELS, "softmax"),
    ),
    "layer normalization": lambda: sequential(
        L.Flatten(), L.LayerNormalization(), dense(LABELS, "softmax")
    ),
}


@pytest.mark.parametrize("build", NOT_FOLDABLE.values(), ids=NOT_FOLDABLE.keys())
def test_other_networks_are_refused_with_a_reason(build):
    with pytest.raises(NotFoldable, match="Expected .* Received: "):
        fold(build())


def test_kernels_are_not_copied():
    model = sequential(L.Flatten(), dense(LABELS, "softmax"))

    (layer,) = fold(model).layers

    assert not layer.kernel.flags.owndata


def test_rows_are_those_of_the_folded_kernel():
    model = sequential(per_pixel_normalization(), L.Flatten(), dense(8), batch_normalization(0))
    model.add(dense(LABELS, "softmax", 1))

    first = fold(model).layers[0]

    whole = np.asarray(first.kernel) * first.scale[:, None] * first.gain
    np.testing.assert_allclose(first.rows(5, 20), whole[5:20], rtol=1e-5)
