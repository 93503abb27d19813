"""The multi-layer perceptron, how it starts, and how it is published.

Adam moves a hidden unit by about learning rate x sum |x|, so a rate that suits 784 inputs is 588
times too large for 460,800. While it trains, the network therefore sees pixels from which the
per-pixel training mean is subtracted, divided by one global standard deviation, and scaled by
784 / (height x width); the first kernel is then scaled until its pre-activations have unit variance
on real images (layer-sequential unit variance, Mishkin & Matas 2016). The learning rate no longer
depends on the image size. Publishing folds all of this into the first kernel and bias: what is
stored is the plain network on pixels divided by 255.
"""

from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from training.standardization import Standardization

_ROWS_AT_A_TIME = 16_384
_XLA_PARAMETERS = 5_000_000


def build_network(
    height: int, width: int, labels: int, hidden: Sequence[int], dropout: float, seed: int
) -> keras.Sequential:
    """Build the published form: uint8 (N, H, W) pixels in, (N, labels) probabilities out."""
    layers = [
        keras.Input((height, width), dtype="uint8", name="pixels"),
        keras.layers.Rescaling(1 / 255, name="to_unit_range"),
        keras.layers.Flatten(name="flatten"),
        *_dense_stack(labels, hidden, dropout, seed),
        keras.layers.Softmax(name="probabilities"),
    ]
    return keras.Sequential(layers)


def build_training_network(
    inputs: Standardization,
    shape: tuple[int, int],
    labels: int,
    hidden: Sequence[int],
    dropout: float,
    seed: int,
) -> keras.Sequential:
    """Build the same layers on standardised pixels, ending in logits."""
    layers = [
        keras.Input(shape, dtype="uint8"),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Flatten(),
        # Normalization divides by the root of its variance.
        keras.layers.Normalization(
            mean=inputs.mean, variance=np.full_like(inputs.mean, inputs.scale**-2)
        ),
        *_dense_stack(labels, hidden, dropout, seed),
    ]
    return keras.Sequential(layers)


def scale_first_kernel(network: keras.Sequential, images: NDArray[np.uint8]) -> None:
    """Give the first layer's pre-activations unit variance on `images`, (N, H, W) uint8."""
    first = _dense_layers(network)[0]
    pre_activations = keras.Sequential(network.layers[: network.layers.index(first) + 1])
    spread = float(np.std(keras.ops.convert_to_numpy(pre_activations(images))))
    first.kernel.assign(first.kernel / max(spread, 1e-12))


def fold_into_published(
    weights: Sequence[NDArray[np.float32]], inputs: Standardization, temperature: float
) -> list[NDArray[np.float32]]:
    """Fold standardisation and temperature into the first and last kernel and bias, in place.

    Args:
        weights: kernel and bias of every dense layer in turn, as trained; overwritten.
        inputs: what the training network did with its pixels.
        temperature: the logits are divided by it.

    Returns:
        The weights of the published network, in the order of `build_network(...).weights`.
    """
    kernel, bias = weights[0], weights[1]
    kernel *= np.float32(inputs.scale)
    bias -= _mean_response(kernel, inputs.mean)
    for last in weights[-2:]:
        last /= np.float32(temperature)
    return list(weights)


def pays_to_compile(network: keras.Model) -> bool:
    """Tell whether XLA makes the optimizer's update of `network` faster.

    It fuses Adam's passes over a large kernel; for a small one its launch costs more than that.
    """
    return bool(network.count_params() >= _XLA_PARAMETERS)


def dense_weights(network: keras.Sequential) -> list[keras.Variable]:
    """Return kernel and bias of every dense layer, in order."""
    return [variable for layer in _dense_layers(network) for variable in layer.weights]


def _mean_response(kernel: NDArray[np.float32], mean: NDArray[np.float32]) -> NDArray[np.float32]:
    # In float64, since 460,800 terms nearly cancel; in parts, since the kernel may be 944 MB.
    response = np.zeros(kernel.shape[1])
    for start in range(0, len(kernel), _ROWS_AT_A_TIME):
        part = slice(start, start + _ROWS_AT_A_TIME)
        response += mean[part].astype(np.float64) @ kernel[part].astype(np.float64)
    return response.astype(np.float32)


def _dense_layers(network: keras.Sequential) -> list[keras.layers.Dense]:
    return [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)]


def _dense_stack(
    labels: int, hidden: Sequence[int], dropout: float, seed: int
) -> list[keras.layers.Layer]:
    layers: list[keras.layers.Layer] = []
    for k, units in enumerate(hidden):
        initializer = keras.initializers.GlorotUniform(seed=seed + k)
        layers += [
            keras.layers.Dense(units, kernel_initializer=initializer, name=f"dense_{k + 1}"),
            keras.layers.ReLU(name=f"relu_{k + 1}"),
            keras.layers.Dropout(dropout, seed=seed + k, name=f"dropout_{k + 1}"),
        ]
    initializer = keras.initializers.GlorotUniform(seed=seed + len(hidden))
    layers.append(keras.layers.Dense(labels, kernel_initializer=initializer, name="logits"))
    return layers
