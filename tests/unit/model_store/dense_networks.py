"""Small networks of dense layers, in Keras and in plain NumPy."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.folding import DenseLayer

SIZE = (9, 7)
LABELS = 4


def layer(inputs: int, outputs: int, activation: Any = "relu", seed: int = 0) -> DenseLayer:
    """Return a layer whose outputs are of the order of 1 for pixels from 0 to 255."""
    rng = np.random.default_rng(seed)
    return DenseLayer(
        kernel=rng.normal(0, 1 / np.sqrt(inputs), (inputs, outputs)).astype(np.float32),
        scale=np.array(1 / 64 if inputs > 64 else 1.0),
        gain=np.ones(outputs),
        bias=rng.normal(0, 0.1, outputs),
        activation=activation,
    )


def network(inputs: int, hidden: int = 64, labels: int = LABELS) -> tuple[DenseLayer, ...]:
    """Return the notebook's chain: two hidden layers and the logits, which leave some doubt."""
    logits = layer(hidden, labels, "linear", seed=3)
    return (
        layer(inputs, hidden, seed=1),
        layer(hidden, hidden, seed=2),
        replace(logits, gain=np.full(labels, 0.1)),
    )


def compute(layers: Sequence[DenseLayer], images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return (N, labels) probabilities in float64."""
    features = images.reshape(len(images), -1).astype(np.float64)
    for one in layers:
        features = _activate(one, (features * one.scale) @ one.kernel * one.gain + one.bias)
    exponentials = np.exp(features - features.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def _activate(one: DenseLayer, sums: NDArray[np.float64]) -> NDArray[np.float64]:
    sigmoid = 1 / (1 + np.exp(-np.clip(sums, -500, 500)))
    return {
        "linear": sums,
        "relu": np.maximum(sums, 0),
        "tanh": np.tanh(sums),
        "sigmoid": sigmoid,
        "silu": sums * sigmoid,
    }[one.activation]


def noise(count: int, size: tuple[int, int] = SIZE, seed: int = 0) -> NDArray[np.uint8]:
    """Return images of uniform noise with a black, a white and a grey one before them."""
    images = np.random.default_rng(seed).integers(0, 256, (count, *size), np.uint8)
    for image, value in zip(images, (0, 255, 128), strict=False):
        image[:] = value
    return images
