"""The end of an imported network: what it was trained with becomes one probability per label."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.engines.keras import runtime
from model_store.errors import IncompatibleModel
from model_store.making.chains import last_layer

Outputs = Callable[[], NDArray[np.float32]]


def finish(
    layers: list[Any], outputs: Outputs, labels: tuple[str, ...], notes: list[str]
) -> list[Any]:
    """Return the layers so that they end in one softmax output per label.

    Args:
        layers: of the network, in the order data takes.
        outputs: gives the network's (N, outputs) for some images; asked where its last layer
            does not say what they are.
        labels: in output order.
        notes: what was changed is appended, one sentence each.

    Raises:
        IncompatibleModel: the outputs are neither probabilities nor logits.
    """
    keras = runtime()[0]
    last = last_layer(layers, _passive())
    ending = _activation(last) or _guess(outputs())
    shape = tuple(last.output.shape[1:])
    binary = shape == (1,) and len(labels) == 2
    if binary and ending in ("sigmoid", "linear"):
        return _two_outputs(layers, ending, labels, notes)
    if not binary:
        _refuse_label_count(shape, labels)
    if ending == "softmax" and not binary:
        return layers
    if ending == "linear":
        notes.append("It ends in logits; a softmax was added.")
        return [*layers, keras.layers.Softmax(name="softmax")]
    raise IncompatibleModel(
        "Expected a network that ends in a softmax or in logits, or, for two labels, in one "
        f"sigmoid or logit. Received: {ending}{' of one output' if binary else ''}"
    )


def _passive() -> tuple[type, ...]:
    keras = runtime()[0]
    return (keras.layers.Dropout, keras.layers.Identity)


def _activation(layer: Any) -> str | None:
    """Return the name of the last activation; None: the layer has none, as an average has not."""
    keras = runtime()[0]
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    if hasattr(layer, "activation"):
        return str(getattr(layer.activation, "__name__", layer.activation))
    kinds = (keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.PReLU, keras.layers.ELU)
    return type(layer).__name__ if isinstance(layer, kinds) else None


def _guess(outputs: NDArray[np.float32]) -> str:
    if outputs.min() < 0:
        return "linear"
    if outputs.shape[1:] == (1,):
        return "sigmoid" if outputs.max() <= 1 else "linear"
    sums = outputs.sum(axis=-1)
    if np.allclose(sums, 1, atol=1e-3):
        return "softmax"
    if outputs.ndim == 2 and len(sums) > 1 and np.allclose(sums, sums[0], rtol=1e-3):
        return f"outputs that sum to {sums[0]:.3g}, as percentages to 100"
    return "linear"


def _two_outputs(
    layers: list[Any], ending: str, labels: tuple[str, ...], notes: list[str]
) -> list[Any]:
    """Return the same function with two outputs: sigmoid(z) is the second of softmax(0, z)."""
    keras = runtime()[0]
    what = "sigmoid output" if ending == "sigmoid" else "logit"
    notes.append(f"Its one {what} became two outputs: {labels[0]} is 1 - p, {labels[1]} is p.")
    logit = layers if ending == "linear" else _without_sigmoid(layers)
    if logit is None:
        return [*layers, _dense("two", [[-1.0, 1.0]], [1.0, 0.0])]
    two = _dense("two", [[0.0, 1.0]], [0.0, 0.0])
    return [*logit, two, keras.layers.Softmax(name="softmax")]


def _without_sigmoid(layers: list[Any]) -> list[Any] | None:
    """Return the layers up to the logit; None: what computes it is not in sight."""
    keras = runtime()[0]
    while isinstance(layers[-1], _passive()):
        layers = layers[:-1]
    last = layers[-1]
    if isinstance(last, keras.layers.Activation):
        return layers[:-1]
    if not isinstance(last, keras.layers.Dense):
        return None
    kernel, bias = np.asarray(last.kernel.value), np.zeros(1)
    if last.use_bias:
        bias = np.asarray(last.bias.value)
    return [*layers[:-1], _dense(last.name, kernel, bias)]


def _dense(name: str, kernel: Any, bias: Any) -> Any:
    layer = runtime()[0].layers.Dense(len(bias), name=name)
    layer.build((None, len(kernel)))
    layer.set_weights([np.asarray(kernel), np.asarray(bias)])
    return layer


def _refuse_label_count(shape: tuple[int, ...], labels: tuple[str, ...]) -> None:
    if shape != (len(labels),):
        received = shape[0] if len(shape) == 1 else f"outputs of shape {shape}"
        raise IncompatibleModel(
            f"Expected {len(labels)} outputs, one per label: {', '.join(labels[:20])}. "
            f"Received: {received}"
        )
