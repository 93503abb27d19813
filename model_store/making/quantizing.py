"""Kernels with fewer bits: what an engine reads per image is what makes it slow."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_store.making.folding import DenseLayer

_ROWS = 8192  # of a kernel at a time, so that no second copy of it is ever whole
_INT8_MAX = 127
# 65536 * 255 * 127 < 2**31: in groups of so many inputs no sum can overflow, whatever the image.
_MAX_GROUP = 65536
_ALIGNMENT = 64  # inputs, one byte each: a cache line, and a multiple of what VNNI takes at once


@dataclass(frozen=True, slots=True)
class Int8Kernel:
    """A kernel in bytes.

    `values[group, output]` holds `weight / steps[output]`, for the group's share of the inputs;
    zeros fill up the last group.
    """

    values: NDArray[np.int8]  # (groups, outputs, group_width)
    steps: NDArray[np.float32]  # (outputs,)
    bias: NDArray[np.float64]  # (outputs,) to be added for what rounding took away


def group_shape(inputs: int) -> tuple[int, int]:
    """Return (groups, group_width): the fewest that cannot overflow, filled up to cache lines."""
    groups = -(-inputs // _MAX_GROUP)
    width = -(-inputs // groups)
    return groups, -(-width // _ALIGNMENT) * _ALIGNMENT


def quantize(layer: DenseLayer, mean_input: NDArray[np.float64]) -> Int8Kernel:
    """Round a folded kernel to 255 levels, symmetric about 0, each output with its own step.

    Rounding shifts an output by `inputs @ error`; the share of it that the mean input causes is
    the same for every image and can be given back in the bias (Nagel et al. 2019, section 4.2).

    Args:
        layer: its folded kernel is read twice, never copied whole.
        mean_input: (inputs,) the mean of what the layer will see.
    """
    inputs, outputs = layer.kernel.shape
    steps = _steps(layer)
    groups, width = group_shape(inputs)
    values = np.zeros((groups, outputs, width), np.int8)
    bias = np.zeros(outputs)
    for start, rows in _blocks(layer, width):
        group, column = divmod(start, width)
        rounded = np.rint(rows / steps)  # -127 to 127
        values[group, :, column : column + len(rows)] = rounded.T
        error = rows - rounded * steps
        bias += mean_input[start : start + len(rows)] @ error
    return Int8Kernel(values, steps, bias)


def _steps(layer: DenseLayer) -> NDArray[np.float32]:
    largest = np.zeros(layer.kernel.shape[1], np.float32)
    for _, rows in _blocks(layer):
        np.maximum(largest, np.abs(rows).max(axis=0), out=largest)
    return np.where(largest > 0, largest / _INT8_MAX, 1).astype(np.float32)


def as_float32(layer: DenseLayer) -> NDArray[np.float32]:
    """Return the folded kernel, (outputs, inputs)."""
    inputs, outputs = layer.kernel.shape
    kernel = np.empty((outputs, inputs), np.float32)
    for start, rows in _blocks(layer):
        kernel[:, start : start + len(rows)] = rows.T
    return kernel


def _blocks(
    layer: DenseLayer, group_width: int | None = None
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield (first row, rows) of the folded kernel; none straddles two groups."""
    inputs = len(layer.kernel)
    width = group_width or inputs
    for first in range(0, inputs, width):
        last = min(first + width, inputs)
        for start in range(first, last, _ROWS):
            yield start, layer.rows(start, min(start + _ROWS, last))
