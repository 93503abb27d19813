import keras
import numpy as np
import pytest

from training.network import (
    build_network,
    build_training_network,
    dense_weights,
    fold_into_published,
    scale_first_kernel,
)
from training.standardization import standardization


def pixels(height: int, width: int, images: int = 40) -> np.ndarray:
    random = np.random.default_rng(0)
    smooth = random.integers(40, 200, (images, 1, 1)) + random.integers(0, 40, (1, height, width))
    return smooth.astype(np.uint8)


def inputs_for(images: np.ndarray):  # type: ignore[no-untyped-def]  # a fixture in all but name
    flat = images.reshape(len(images), -1).astype(np.float32) / 255
    return standardization(flat.mean(axis=0), float((flat - flat.mean(axis=0)).std()))


@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_published_network_computes_what_the_trained_one_did(temperature: float) -> None:
    images = pixels(9, 14)
    inputs = inputs_for(images)
    trained = build_training_network(inputs, (9, 14), 3, (16, 8), 0.2, seed=1)
    scale_first_kernel(trained, images)
    expected = keras.ops.softmax(trained(images, training=False) / temperature)
    published = build_network(9, 14, 3, (16, 8), 0.2, seed=1)
    weights = [keras.ops.convert_to_numpy(w).copy() for w in dense_weights(trained)]
    published.set_weights(fold_into_published(weights, inputs, temperature))
    np.testing.assert_allclose(published(images, training=False), expected, atol=2e-5)


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (120, 60)])
def test_first_pre_activations_start_with_unit_variance_at_any_size(size: tuple[int, int]) -> None:
    images = pixels(*size)
    network = build_training_network(inputs_for(images), size, 2, (64,), 0.0, seed=0)
    scale_first_kernel(network, images)
    first = keras.Sequential(network.layers[:4])
    assert np.std(keras.ops.convert_to_numpy(first(images))) == pytest.approx(1, rel=1e-3)


def test_the_step_of_a_hidden_unit_does_not_depend_on_the_pixel_count() -> None:
    reach = []
    for size in ((8, 8), (28, 28), (120, 60)):
        images = pixels(*size)
        inputs = inputs_for(images)
        flat = images.reshape(len(images), -1) / 255
        reach.append(np.abs((flat - inputs.mean) * inputs.scale).sum(axis=1).mean())
    assert max(reach) / min(reach) < 1.1


def test_blank_images_give_finite_inputs() -> None:
    images = np.full((5, 4, 4), 128, np.uint8)
    network = build_training_network(inputs_for(images), (4, 4), 2, (3,), 0.0, seed=0)
    scale_first_kernel(network, images)
    assert np.isfinite(keras.ops.convert_to_numpy(network(images))).all()


def test_published_layers_are_the_notebooks() -> None:
    network = build_network(960, 480, 2, (4, 4), 0.2, seed=0)
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == ["Rescaling", "Flatten"] + ["Dense", "ReLU", "Dropout"] * 2 + [
        "Dense",
        "Softmax",
    ]
    assert network.layers[1].output.shape == (None, 460_800)
