"""Small networks of dense layers, in Keras and in plain NumPy."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.making.folding import DenseLayer, FoldedNetwork

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


def network(inputs: int, hidden: int = 64, labels: int = LABELS, pool: int = 1) -> FoldedNetwork:
    """Return the notebook's chain: two hidden layers and the logits, which leave some doubt."""
    logits = layer(hidden, labels, "linear", seed=3)
    layers = (
        layer(inputs, hidden, seed=1),
        layer(hidden, hidden, seed=2),
        replace(logits, gain=np.full(labels, 0.1)),
    )
    return FoldedNetwork(pool, layers)


def compute(folded: FoldedNetwork, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return (N, labels) probabilities in float64."""
    features = block_means(images, folded.pool).reshape(len(images), -1)
    for one in folded.layers:
        features = _activate(one, (features * one.scale) @ one.kernel * one.gain + one.bias)
    exponentials = np.exp(features - features.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def block_means(images: NDArray[np.uint8], pool: int) -> NDArray[np.float64]:
    """Return (N, H // pool, W // pool) means; what fills no block is not looked at."""
    count, height, width = images.shape
    rows, columns = height // pool, width // pool
    whole = images[:, : rows * pool, : columns * pool]
    means = whole.reshape(count, rows, pool, columns, pool).mean(axis=(2, 4), dtype=np.float64)
    return np.asarray(means)


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
