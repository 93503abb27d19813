"""The multi-layer perceptron, how it starts, and how it is published.

Adam moves a hidden unit by about learning rate x sum |x|, so a rate that suits 784 inputs is 588
times too large for 460,800. While it trains, the network therefore sees inputs from which the
training mean is subtracted, divided by one global standard deviation, and scaled by 784 / inputs;
the first kernel is then scaled until its pre-activations have unit variance on real images
(layer-sequential unit variance, Mishkin & Matas 2016). The learning rate no longer depends on the
number of inputs. Publishing folds all of this into the kernels and biases: what is stored is the
plain network on pixels divided by 255, or on means over blocks of them.
"""

from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from model_store.making.folding import fold
from training.learn.task import Architecture, Standardization

_REFERENCE_INPUTS = 784
_MIN_STD = 1e-3


def standardization(mean: NDArray[np.float32], std: float) -> Standardization:
    """Return the input scaling for inputs of `mean` (inputs,) and one global `std`."""
    return Standardization(mean, _REFERENCE_INPUTS / mean.size / max(std, _MIN_STD))


def published_network(what: Architecture) -> keras.Sequential:
    """Build the published form: uint8 (N, H, W) pixels in, (N, labels) probabilities out."""
    size = (what.height, what.width)
    means = [
        keras.layers.Reshape((*size, 1), name="one_channel"),
        keras.layers.AveragePooling2D(what.pool, name="block_means"),
    ]
    return keras.Sequential(
        [
            keras.Input(size, dtype="uint8", name="pixels"),
            keras.layers.Rescaling(1 / 255, name="to_unit_range"),
            *(means if what.pool > 1 else ()),
            keras.layers.Flatten(name="flatten"),
            *_dense_stack(what, seed=0),
            keras.layers.Softmax(name="probabilities"),
        ]
    )


def training_network(what: Architecture, seed: int) -> keras.Sequential:
    """Build the same dense layers on standardised inputs, (N, rows, columns), ending in logits."""
    return keras.Sequential(
        [keras.Input(what.inputs), keras.layers.Flatten(), *_dense_stack(what, seed)]
    )


def publish(
    what: Architecture,
    weights: Sequence[NDArray[np.float32]],
    inputs: Standardization,
    temperature: float,
) -> keras.Sequential:
    """Return the published network that answers as the trained one did.

    Args:
        what: of the trained network.
        weights: kernel and bias of every dense layer in turn, as trained.
        inputs: what the training network did with its inputs.
        temperature: the logits are divided by it.
    """
    trained = keras.Sequential(
        [
            keras.Input(what.inputs),
            keras.layers.Flatten(),
            # Normalization divides by the root of its variance.
            keras.layers.Normalization(
                mean=inputs.mean, variance=np.full_like(inputs.mean, inputs.scale**-2)
            ),
            *_dense_stack(what, seed=0),
            keras.layers.Rescaling(1 / temperature),
            keras.layers.Softmax(),
        ]
    )
    for variable, value in zip(dense_weights(trained), weights, strict=True):
        variable.assign(value)
    network = published_network(what)
    for layer, folded in zip(_dense_layers(network), fold(trained).layers, strict=True):
        layer.kernel.assign(folded.rows(0, len(folded.kernel)))
        layer.bias.assign(folded.bias.astype(np.float32))
    return network


def scale_first_kernel(network: keras.Sequential, images: NDArray[np.floating]) -> None:
    """Give the first layer's pre-activations unit variance on `images`, (N, rows, columns)."""
    first = _dense_layers(network)[0]
    pre_activations = keras.Sequential(network.layers[: network.layers.index(first) + 1])
    spread = float(np.std(keras.ops.convert_to_numpy(pre_activations(images))))
    first.kernel.assign(first.kernel / max(spread, 1e-12))


def dense_weights(network: keras.Sequential) -> list[keras.Variable]:
    """Return kernel and bias of every dense layer, in order."""
    return [variable for layer in _dense_layers(network) for variable in layer.weights]


def _dense_layers(network: keras.Sequential) -> list[keras.layers.Dense]:
    """Return the dense layers, first to last."""
    return [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)]


def _dense_stack(what: Architecture, seed: int) -> list[keras.layers.Layer]:
    layers: list[keras.layers.Layer] = []
    for k, units in enumerate(what.hidden):
        initializer = keras.initializers.GlorotUniform(seed=seed + k)
        layers += [
            keras.layers.Dense(units, kernel_initializer=initializer, name=f"dense_{k + 1}"),
            keras.layers.ReLU(name=f"relu_{k + 1}"),
            keras.layers.Dropout(what.dropout, seed=seed + k, name=f"dropout_{k + 1}"),
        ]
    initializer = keras.initializers.GlorotUniform(seed=seed + len(what.hidden))
    layers.append(keras.layers.Dense(what.labels, kernel_initializer=initializer, name="logits"))
    return layers
