"""Dense layers → an OpenVINO model that takes uint8 pixels and gives probabilities."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset15 as opset

from model_store.folding import DenseLayer
from model_store.quantizing import as_bfloat16, as_float32, quantize

Weights = Literal["int8", "bf16", "f32"]

_ACTIVATIONS = {
    "relu": opset.relu,
    "tanh": opset.tanh,
    "sigmoid": opset.sigmoid,
    "silu": opset.swish,
}
_PIXEL_RANGE = (np.float32(0), np.float32(255))


def write_graph(
    layers: Sequence[DenseLayer],
    weights: Weights,
    path: Path,
    size: tuple[int, int],
    mean_pixels: NDArray[np.float64],
) -> None:
    """Write `path` (.xml) and its weights beside it (.bin).

    Args:
        layers: first to last; a softmax follows the last one.
        weights: how the first kernel is stored, which is nearly all of the file; the others are
            small, and stay float32 beside an int8 one.
        path: ends in .xml.
        size: (height, width) of the images.
        mean_pixels: (H*W,) the mean image, for the bias correction of int8.
    """
    images = opset.parameter([-1, *size], ov.Type.u8, name="images")
    pixels = opset.reshape(images, np.array([-1, size[0] * size[1]]), special_zero=False)
    features = opset.convert(pixels, "f32")
    builder = _Builder()
    for number, layer in enumerate(layers):
        if weights == "int8" and number == 0:
            features = builder.add_int8(layer, features, mean_pixels)
        elif weights == "bf16":
            features = builder.add_bf16(layer, features)
        else:
            features = builder.add_f32(layer, features)
    probabilities = opset.softmax(features, axis=1)
    model = ov.Model([opset.result(probabilities)], [images], "halftone")
    ov.save_model(model, path, compress_to_fp16=False)


class _Builder:
    """Adds layers; must live until the model is saved, since it owns the weights."""

    def __init__(self) -> None:
        self._lent: list[ov.Tensor] = []

    def add_int8(
        self, layer: DenseLayer, pixels: ov.Node, mean_pixels: NDArray[np.float64]
    ) -> ov.Node:
        kernel = quantize(layer, mean_pixels)
        # 256 levels from 0 to 255 round nothing. They only tell the CPU plugin that these
        # activations are quantized, whereupon it multiplies bytes by bytes.
        exact = opset.fake_quantize(pixels, *_PIXEL_RANGE, *_PIXEL_RANGE, levels=256)
        values = opset.convert(self._constant(kernel.values, ov.Type.i8), "f32")
        weights = opset.multiply(values, kernel.steps[:, None])
        return _finish(layer, exact, weights, layer.bias + kernel.bias_correction)

    def add_bf16(self, layer: DenseLayer, features: ov.Node) -> ov.Node:
        kernel = opset.convert(self._constant(as_bfloat16(layer), ov.Type.bf16), "f32")
        return _finish(layer, features, kernel, layer.bias)

    def add_f32(self, layer: DenseLayer, features: ov.Node) -> ov.Node:
        return _finish(layer, features, self._constant(as_float32(layer), ov.Type.f32), layer.bias)

    def _constant(self, values: NDArray[Any], kind: ov.Type) -> ov.Node:
        # NOTE: a shared constant does not keep its memory alive.
        self._lent.append(ov.Tensor(values, values.shape, kind))
        return ov.op.Constant(self._lent[-1], shared_memory=True)


def _finish(layer: DenseLayer, inputs: ov.Node, weights: ov.Node, bias: Any) -> ov.Node:
    product = opset.matmul(inputs, weights, transpose_a=False, transpose_b=True)
    logits = opset.add(product, np.asarray(bias, np.float32)[None])
    if layer.activation == "linear":
        return logits
    return _ACTIVATIONS[layer.activation](logits)
