"""The network as it trains and as it is published, which answer alike."""

import keras
import numpy as np
import pytest

from model_store.pixels.pooling import block_means
from training.learn.network import (
    dense_weights,
    publish,
    published_network,
    scale_first_kernel,
    standardization,
    training_network,
)
from training.learn.task import Architecture, Standardization


def architecture(height: int, width: int, pool: int = 1, **changes: object) -> Architecture:
    settings = {"labels": 3, "hidden": (16, 8), "dropout": 0.2}
    return Architecture(height, width, pool, **{**settings, **changes})  # type: ignore[arg-type]  # checked by it


def pixels(height: int, width: int, images: int = 40) -> np.ndarray:
    random = np.random.default_rng(0)
    smooth = random.integers(40, 200, (images, 1, 1)) + random.integers(0, 40, (1, height, width))
    return smooth.astype(np.uint8)


def standardized(images: np.ndarray, pool: int = 1) -> tuple[np.ndarray, Standardization]:
    means = block_means(images, pool) / np.float32(255)
    flat = means.reshape(len(images), -1)
    inputs = standardization(flat.mean(axis=0), float((flat - flat.mean(axis=0)).std()))
    return ((flat - inputs.mean) * inputs.scale).reshape(means.shape), inputs


@pytest.mark.parametrize("temperature", [1.0, 1.7])
@pytest.mark.parametrize(("size", "pool"), [((9, 14), 1), ((8, 12), 4), ((9, 14), 2), ((10, 7), 3)])
def test_published_network_computes_what_the_trained_one_did(size, pool, temperature):
    what, images = architecture(*size, pool), pixels(*size)
    seen, inputs = standardized(images, pool)
    trained = training_network(what, seed=1)
    scale_first_kernel(trained, seen)
    for variable in trained.trainable_variables:
        if variable.name == "bias":
            variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    expected = keras.ops.softmax(trained(seen, training=False) / temperature)

    weights = [keras.ops.convert_to_numpy(w) for w in dense_weights(trained)]
    published = publish(what, weights, inputs, temperature)

    assert np.ptp(expected, axis=0).max() > 0.01, "the network must depend on its pixels"
    np.testing.assert_allclose(published(images, training=False), expected, atol=2e-5)


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (120, 60)])
def test_first_pre_activations_start_with_unit_variance_at_any_size(size):
    seen, _ = standardized(pixels(*size))
    network = training_network(architecture(*size, hidden=(64,)), seed=0)
    scale_first_kernel(network, seen)
    first = keras.Sequential(network.layers[:2])
    assert np.std(keras.ops.convert_to_numpy(first(seen))) == pytest.approx(1, rel=1e-3)


def test_the_step_of_a_hidden_unit_does_not_depend_on_the_number_of_inputs():
    reach = []
    for size, pool in (((8, 8), 1), ((28, 28), 1), ((120, 60), 1), ((120, 60), 4)):
        seen, _ = standardized(pixels(*size), pool)
        reach.append(np.abs(seen.reshape(len(seen), -1)).sum(axis=1).mean())
    assert max(reach) / min(reach) < 1.1


def test_blank_images_give_finite_inputs():
    seen, _ = standardized(np.full((5, 4, 4), 128, np.uint8))
    network = training_network(architecture(4, 4), seed=0)
    scale_first_kernel(network, seen)
    assert np.isfinite(keras.ops.convert_to_numpy(network(seen))).all()


DENSE_STACK = [*["Dense", "ReLU", "Dropout"] * 2, "Dense", "Softmax"]


@pytest.mark.parametrize(
    ("pool", "before", "inputs"),
    [
        (1, ["Rescaling", "Flatten"], 460_800),
        (8, ["Rescaling", "Reshape", "AveragePooling2D", "Flatten"], 7_200),
    ],
)
def test_published_layers_are_the_notebooks(pool, before, inputs):
    what = architecture(960, 480, pool, labels=2, hidden=(4, 4))
    network = published_network(what)

    assert [type(layer).__name__ for layer in network.layers] == before + DENSE_STACK
    assert network.get_layer("flatten").output.shape == (None, inputs)
    assert network.count_params() == inputs * 4 + 4 + 4 * 4 + 4 + 4 * 2 + 2
    assert what.weights == inputs * 4 + 4 * 4 + 4 * 2
