"""A trained Keras network → the block means and dense layers that are left of it at inference.

Dropout and its kin do nothing then, and everything affine (Rescaling, Normalization,
BatchNormalization) belongs into the kernel and bias next to it.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from model_store.making.chains import chain

Activation = Literal["linear", "relu", "tanh", "sigmoid", "silu"]
Vector = NDArray[np.float64]

_ROWS_AT_A_TIME = 16_384

_ACTIVATIONS: dict[Any, Activation] = {
    keras.activations.linear: "linear",
    keras.activations.relu: "relu",
    keras.activations.tanh: "tanh",
    keras.activations.sigmoid: "sigmoid",
    keras.activations.silu: "silu",
}
_NOTHING_AT_INFERENCE = (
    keras.layers.InputLayer,
    keras.layers.Dropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.AlphaDropout,
    keras.layers.ActivityRegularization,
    keras.layers.Identity,
    keras.layers.RandomBrightness,
    keras.layers.RandomContrast,
    keras.layers.RandomFlip,
    keras.layers.RandomRotation,
    keras.layers.RandomTranslation,
    keras.layers.RandomZoom,
    keras.layers.Reshape,  # pixels and features are only ever counted in row-major order
)


class NotFoldable(ValueError):
    """The network is no plain chain of dense layers that ends in one softmax."""


@dataclass(frozen=True, slots=True)
class DenseLayer:
    """`activation(((inputs * scale + offset) @ kernel) * gain + bias)`, all of it per feature.

    Scale and gain stay beside the kernel, which may hold a gigabyte, until someone walks over it.
    """

    kernel: NDArray[np.float32]  # (inputs, outputs); not copied from the network where avoidable
    scale: Vector  # (inputs,) or ()
    gain: Vector  # (outputs,)
    bias: Vector  # (outputs,), the offset's share included
    activation: Activation

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return rows [start, stop) of the folded kernel, (stop - start, outputs) float32."""
        scale = self.scale if np.ndim(self.scale) == 0 else self.scale[start:stop, None]
        return np.asarray(self.kernel[start:stop] * (scale * self.gain).astype(np.float32))


@dataclass(frozen=True, slots=True)
class FoldedNetwork:
    """Means over `pool` x `pool` blocks of the pixels (1: the pixels), then dense layers."""

    pool: int
    layers: tuple[DenseLayer, ...]  # first to last; a softmax follows


def fold(model: keras.Model) -> FoldedNetwork:
    """Return what stands between the pixels and the softmax.

    Raises:
        NotFoldable: a layer is none of those this function knows, or the softmax is not at the end.
    """
    folder = _Folder()
    for layer in chain(model):
        folder.add(layer)
    return folder.finish()


class _Folder:
    """Walks the network from the pixels on."""

    def __init__(self) -> None:
        self._done: list[DenseLayer] = []
        # What was applied since the last nonlinearity, and is in no kernel yet.
        self._scale, self._offset = np.ones(()), np.zeros(())  # () or (features,)
        self._softmax = False
        self._pool = 1

    def add(self, layer: Any) -> None:
        if self._softmax and not isinstance(layer, _NOTHING_AT_INFERENCE):
            raise NotFoldable(f"Expected nothing after the softmax. Received: {_name(layer)}")
        match layer:
            case keras.layers.Dense():
                self._add_dense(layer)
            case keras.layers.Softmax() if layer.axis in (-1, 1) and len(layer.output.shape) == 2:
                self._add_softmax()
            case keras.layers.Activation():
                self._activate(layer.activation)
            case keras.layers.ReLU() if _is_plain_relu(layer):
                self._activate(keras.activations.relu)
            case keras.layers.AveragePooling2D() if _means_over_blocks(layer):
                self._add_pooling(layer.pool_size[0])
            case keras.layers.Flatten() if layer.data_format == "channels_last":
                pass
            case keras.layers.Resizing() if layer.output.shape == layer.input.shape:
                pass
            case _ if isinstance(layer, _NOTHING_AT_INFERENCE):
                pass
            case _:
                self._add_affine(*_affine_of(layer))

    def finish(self) -> FoldedNetwork:
        if not self._softmax:
            raise NotFoldable("Expected a softmax at the end of the network. Received: none")
        return FoldedNetwork(self._pool, tuple(self._done))

    def _add_pooling(self, size: int) -> None:
        if self._done or self._pool != 1 or np.ndim(self._scale) or np.ndim(self._offset):
            raise NotFoldable("Expected block means of pixels only. Received: of something else")
        self._pool = size

    def _add_dense(self, layer: Any) -> None:
        if getattr(layer, "quantization_mode", None):
            raise NotFoldable(f"Expected float weights. Received: {_name(layer)}, quantized")
        kernel = _array(layer.kernel)
        if self._done and len(kernel) != self._done[-1].kernel.shape[1]:
            raise NotFoldable(f"Expected a Dense over all features. Received: {_name(layer)}")
        outputs = kernel.shape[1]
        bias = _array(layer.bias).astype(np.float64) if layer.use_bias else np.zeros(outputs)
        dense = DenseLayer(
            kernel,
            self._scale,
            gain=np.ones(outputs),
            bias=bias + _weigh(self._offset, kernel),
            activation="linear",
        )
        self._done.append(dense)
        self._scale, self._offset = np.ones(()), np.zeros(())
        self._activate(layer.activation)

    def _add_affine(self, scale: Vector, offset: Vector) -> None:
        if self._done and self._done[-1].activation == "linear":
            last = self._done[-1]
            self._done[-1] = replace(last, gain=last.gain * scale, bias=last.bias * scale + offset)
        else:
            self._scale, self._offset = self._scale * scale, self._offset * scale + offset

    def _activate(self, function: Any) -> None:
        if function is keras.activations.softmax:
            self._add_softmax()
            return
        if function not in _ACTIVATIONS:
            raise NotFoldable(f"Expected an activation that engines know. Received: {function}")
        if _ACTIVATIONS[function] == "linear":
            return
        self._require_linear(_ACTIVATIONS[function])
        self._done[-1] = replace(self._done[-1], activation=_ACTIVATIONS[function])

    def _add_softmax(self) -> None:
        self._require_linear("softmax")
        self._softmax = True

    def _require_linear(self, what: str) -> None:
        if not self._done or self._done[-1].activation != "linear":
            raise NotFoldable(f"Expected a Dense right before {what}. Received: something else")


def _affine_of(layer: Any) -> tuple[Vector, Vector]:
    match layer:
        case keras.layers.Rescaling():
            return _flat(layer.scale, layer), _flat(layer.offset, layer)
        case keras.layers.Normalization() if not layer.invert:
            deviation = np.maximum(np.sqrt(_array(layer.variance)), keras.config.epsilon())
            return _flat(1 / deviation, layer), _flat(-_array(layer.mean) / deviation, layer)
        case keras.layers.BatchNormalization() if len(layer.output.shape) == 2:
            return _batch_normalization(layer)
    raise NotFoldable(f"Expected layers of a multilayer perceptron. Received: {_name(layer)}")


def _batch_normalization(layer: Any) -> tuple[Vector, Vector]:
    variance = _array(layer.moving_variance).astype(np.float64)
    scale = 1 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        scale = scale * _array(layer.gamma)
    offset = -_array(layer.moving_mean) * scale
    return scale, offset + _array(layer.beta) if layer.center else offset


def _means_over_blocks(layer: Any) -> bool:
    height, width = layer.pool_size
    whole = layer.padding == "valid" and layer.data_format == "channels_last"
    grayscale = len(layer.input.shape) == 4 and layer.input.shape[-1] == 1
    return height == width and tuple(layer.strides) == (height, width) and whole and grayscale


def _is_plain_relu(layer: Any) -> bool:
    return layer.max_value is None and not layer.negative_slope and not layer.threshold


def _flat(value: Any, layer: Any) -> Vector:
    """Return `value` as a scalar, or as one number per feature of the layer's output."""
    array = _array(value).astype(np.float64)
    if array.size == 1:
        return array.reshape(())
    return np.broadcast_to(array, (1, *layer.output.shape[1:])).reshape(-1)


def _weigh(offset: Vector, kernel: NDArray[np.float32]) -> Vector:
    """Return what the constant input `offset` adds to every output, (outputs,)."""
    if not offset.any():
        return np.zeros(kernel.shape[1])
    everywhere = np.broadcast_to(offset, len(kernel))
    # In float64, since 460,800 terms nearly cancel; in parts, since the kernel may be 944 MB.
    parts = (slice(k, k + _ROWS_AT_A_TIME) for k in range(0, len(kernel), _ROWS_AT_A_TIME))
    return np.asarray(sum(everywhere[part] @ kernel[part].astype(np.float64) for part in parts))


def _array(variable: Any) -> NDArray[Any]:
    """Return a variable's values, without a copy where its backend lends them."""
    value = getattr(variable, "value", variable)
    try:
        return np.asarray(memoryview(value.read_value() if hasattr(value, "read_value") else value))
    except TypeError:
        return np.asarray(keras.ops.convert_to_numpy(value))


def _name(layer: Any) -> str:
    return f"{type(layer).__name__} {layer.name!r}"
