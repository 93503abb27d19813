"""A folded network → an OpenVINO model that takes pixels and gives probabilities.

Wide weights are the *left* operand of their product, and features are columns: `y = W @ x`. As the
right operand, as in `x @ W`, the CPU plugin would repack them into memory of its own, which every
worker process would hold again. The left operand is used where the mapped file is.

Weights of one byte are the right operand. Packed, they take half the time, and are small enough to
be held twice; `model_store.engines.openvino` keeps them from being packed where processes share
them.
"""

import errno
from pathlib import Path
from typing import Any, Literal

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset15 as opset

from model_store.making.folding import DenseLayer, FoldedNetwork
from model_store.making.quantizing import as_float32, quantize

Weights = Literal["int8", "f32"]

_ACTIVATIONS = {
    "relu": opset.relu,
    "tanh": opset.tanh,
    "sigmoid": opset.sigmoid,
    "silu": opset.swish,
}
_BYTE_RANGE = (np.float32(0), np.float32(255))


def write_graph(
    network: FoldedNetwork,
    weights: Weights,
    path: Path,
    size: tuple[int, int],
    mean_pixels: NDArray[np.float64],
) -> None:
    """Write `path` (.xml) and its weights beside it (.bin).

    With int8 weights the model takes pixels in groups, uint8 (groups, N, group_width), see
    `Int8Kernel`; else uint8 (N, H, W), or float32 (N, inputs) block means, from 0 to 255. It gives
    (N, labels) float32.

    Args:
        network: block means and dense layers; a softmax follows the last one.
        weights: how the first kernel is stored, which is nearly all of the file; the others are
            small, and stay float32. Bytes are for whole pixels only: means are no whole numbers.
        path: ends in .xml.
        size: (height, width) of the images.
        mean_pixels: (H*W,) the mean image, for the bias correction of int8.

    Raises:
        OSError: there is no space, or no permission.
    """
    first, *others = network.layers
    builder = _Builder()
    if weights == "int8":
        pixels, features = builder.first_int8(first, mean_pixels)
    else:
        pixels, features = builder.first_f32(first, size if network.pool == 1 else None)
    for layer in others:
        features = builder.dense(layer, features)  # (outputs, N)
    logits = opset.transpose(features, np.array([1, 0]))  # (N, labels)
    model = ov.Model([opset.result(opset.softmax(logits, axis=1))], [pixels], "halftone")
    try:
        ov.save_model(model, path, compress_to_fp16=False)
    except RuntimeError as error:  # its own words name no file
        raise OSError(errno.EIO, "Could not be written. Is there space left?", str(path)) from error


class _Builder:
    """Adds layers; must live until the model is saved, since it owns the weights."""

    def __init__(self) -> None:
        self._lent: list[ov.Tensor] = []

    def first_int8(
        self, layer: DenseLayer, mean_pixels: NDArray[np.float64]
    ) -> tuple[ov.Node, ov.Node]:
        """Return the input, and the features of bytes multiplied by bytes, (outputs, N)."""
        kernel = quantize(layer, mean_pixels)
        groups, _, width = kernel.values.shape
        pixels = opset.parameter([groups, -1, width], ov.Type.u8, name="pixels")
        # These 256 levels round nothing. They only tell the CPU plugin that both operands are
        # quantized, whereupon it multiplies bytes.
        exact = opset.fake_quantize(
            opset.convert(pixels, "f32"), *_BYTE_RANGE, *_BYTE_RANGE, levels=256
        )
        values = opset.convert(self._constant(kernel.values, ov.Type.i8), "f32")
        weights = opset.multiply(values, np.float32(1))
        sums = opset.matmul(exact, weights, False, True)  # (groups, N, outputs)
        product = opset.multiply(opset.reduce_sum(sums, np.array([0])), kernel.steps)
        features = opset.transpose(product, np.array([1, 0]))  # (outputs, N)
        return pixels, _finish(layer, features, layer.bias + kernel.bias)

    def first_f32(self, layer: DenseLayer, size: tuple[int, int] | None) -> tuple[ov.Node, ov.Node]:
        """Return the input, and the features of float32 weights, (outputs, N).

        The input is uint8 pixels of `size`; None: float32 means, (N, inputs).
        """
        kernel = self._constant(as_float32(layer), ov.Type.f32)
        inputs = len(layer.kernel)
        if size is None:
            pixels = flat = opset.parameter([-1, inputs], ov.Type.f32, name="means")
        else:
            pixels = opset.parameter([-1, *size], ov.Type.u8, name="pixels")
            values = opset.reshape(pixels, np.array([-1, inputs]), special_zero=False)
            flat = opset.convert(values, "f32")
        product = opset.matmul(kernel, flat, False, True)
        return pixels, _finish(layer, product, layer.bias)

    def dense(self, layer: DenseLayer, features: ov.Node) -> ov.Node:
        """Return the next features, (outputs, N) from (inputs, N)."""
        kernel = self._constant(as_float32(layer), ov.Type.f32)
        return _finish(layer, opset.matmul(kernel, features, False, False), layer.bias)

    def _constant(self, values: NDArray[Any], kind: ov.Type) -> ov.Node:
        # NOTE: a shared constant does not keep its memory alive.
        self._lent.append(ov.Tensor(values, values.shape, kind))
        return ov.op.Constant(self._lent[-1], shared_memory=True)


def _finish(layer: DenseLayer, product: ov.Node, bias: NDArray[np.float64]) -> ov.Node:
    sums = opset.add(product, bias.astype(np.float32)[:, None])
    return sums if layer.activation == "linear" else _ACTIVATIONS[layer.activation](sums)
