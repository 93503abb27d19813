from typing import Any

import numpy as np
import pytest

from model_store.engines.keras import runtime

keras = runtime()[0]

from dense_networks import LABELS, SIZE, compute, noise  # noqa: E402 -- after a quiet import
from tiny_models import tiny_network  # noqa: E402

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


def scaled(*hidden: Any) -> Any:
    """Return a network of scaled pixels, with layers before its probabilities."""
    return sequential(L.Rescaling(1 / 255), L.Flatten(), *hidden, dense(LABELS, "softmax", 9))


def pooled(*front: Any, **options: Any) -> Any:
    means = L.Reshape((*SIZE, 1)), L.AveragePooling2D(2, **options), L.Flatten()
    return sequential(*front, *means, dense(8, "relu"), dense(LABELS, "softmax", 1))


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
    "the notebook's": lambda: tiny_network(0, size=SIZE),
    "scaling after flattening": lambda: sequential(
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
    "batch normalization before and after activations": lambda: scaled(
        dense(8, use_bias=False),
        batch_normalization(0),
        L.ReLU(),
        dense(8, "relu", 1),
        batch_normalization(1),
    ),
    "batch normalization of pixels": lambda: scaled(batch_normalization(0)),
    "other activations": lambda: scaled(
        dense(8, "tanh"), dense(8, "sigmoid", 1), dense(8, "silu", 2), dense(8, "linear", 3)
    ),
    "layers that only train": lambda: scaled(
        L.GaussianNoise(0.5),
        dense(8, "relu"),
        L.GaussianDropout(0.5),
        L.AlphaDropout(0.5),
        L.ActivityRegularization(l2=1.0),
    ),
    "functional": functional,
    "a wrapped network": wrapped,
    "means over blocks": lambda: pooled(L.Rescaling(1 / 255)),
    "no hidden layer": lambda: sequential(L.Flatten(), dense(LABELS, "softmax")),
}


@pytest.mark.parametrize("build", FOLDABLE.values(), ids=FOLDABLE.keys())
def test_folded_layers_compute_what_the_network_does(build):
    model, images = build(), noise(12)

    network = fold(model)

    expected = model.predict(images, verbose=0)
    assert np.ptp(expected, axis=0).max() > 0.01, "the network must depend on its pixels"
    np.testing.assert_allclose(compute(network, images), expected, atol=2e-5)


def branched(shortcut: bool) -> Any:
    images = keras.Input(SIZE, dtype="uint8")
    flat = L.Flatten()(L.Rescaling(1 / 255)(images))
    hidden = dense(PIXELS, "relu")(flat)
    joined = L.Add()([hidden, flat if shortcut else dense(PIXELS, "relu", 1)(flat)])
    return keras.Model(images, dense(LABELS, "softmax", 2)(joined))


def uneven_rescaling() -> Any:
    return L.Rescaling(1 / 255, offset=[k / 10 for k in range(SIZE[1])])


NOT_FOLDABLE = {
    "two branches": lambda: branched(shortcut=False),
    "a shortcut": lambda: branched(shortcut=True),
    "a convolution": lambda: sequential(
        L.Reshape((*SIZE, 1)), L.Conv2D(2, 3), L.Flatten(), dense(LABELS, "softmax")
    ),
    "a Dense over columns": lambda: sequential(
        L.Rescaling(1 / 255), dense(LABELS), L.Flatten(), dense(LABELS, "softmax", 1)
    ),
    "no softmax": lambda: sequential(L.Flatten(), dense(LABELS, "sigmoid")),
    "a layer after the softmax": lambda: sequential(
        L.Flatten(), dense(LABELS, "softmax"), dense(LABELS, seed=1)
    ),
    "a softmax in between": lambda: scaled(dense(8, "softmax")),
    "a softmax of an activation": lambda: sequential(
        L.Flatten(), dense(LABELS, "relu"), L.Softmax()
    ),
    "an activation of pixels": lambda: scaled(L.ReLU()),
    "an unknown activation": lambda: scaled(dense(8, "softplus")),
    "a capped ReLU": lambda: scaled(dense(8), L.ReLU(max_value=6)),
    "a leaky ReLU": lambda: scaled(dense(8), L.ReLU(negative_slope=0.1)),
    "means that overlap": lambda: pooled(strides=1),
    "means of pixels that are not scaled alike": lambda: pooled(per_pixel_normalization()),
    "means of pixels that are not shifted alike": lambda: pooled(uneven_rescaling()),
    "layer normalization": lambda: scaled(L.LayerNormalization()),
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
