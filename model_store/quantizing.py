"""Kernels with fewer bits: what an engine reads per image is what makes it slow."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_store.folding import DenseLayer

_ROWS = 8192  # of a kernel at a time, so that no second copy of it is ever whole
_INT8_MAX = 127


@dataclass(frozen=True, slots=True)
class Int8Kernel:
    """A kernel as signed bytes, symmetric per output: `weight = steps * value`."""

    values: NDArray[np.int8]  # (outputs, inputs)
    steps: NDArray[np.float32]  # (outputs,)
    bias_correction: NDArray[np.float64]  # (outputs,) what rounding takes from the mean input


def quantize(layer: DenseLayer, mean_input: NDArray[np.float64]) -> Int8Kernel:
    """Round a folded kernel to signed bytes, each output with its own step.

    Rounding shifts an output by `inputs @ error`; the share of it that the mean input causes is
    the same for every image and can be given back in the bias (Nagel et al. 2019, section 4.2).

    Args:
        layer: its folded kernel is read twice, never copied whole.
        mean_input: (inputs,) the mean of what the layer will see.
    """
    inputs, outputs = layer.kernel.shape
    largest = np.zeros(outputs, np.float32)
    for _, rows in _blocks(layer):
        np.maximum(largest, np.abs(rows).max(axis=0), out=largest)
    steps = np.where(largest > 0, largest / _INT8_MAX, 1).astype(np.float32)
    values = np.empty((outputs, inputs), np.int8)
    correction = np.zeros(outputs)
    for start, rows in _blocks(layer):
        rounded = np.rint(rows / steps)
        values[:, start : start + len(rows)] = rounded.T
        correction += mean_input[start : start + len(rows)] @ (rows - rounded * steps)
    return Int8Kernel(values, steps, correction)


def as_bfloat16(layer: DenseLayer) -> NDArray[np.uint16]:
    """Return the folded kernel as the bits of bfloat16, (outputs, inputs), rounded to nearest."""
    inputs, outputs = layer.kernel.shape
    bits = np.empty((outputs, inputs), np.uint16)
    for start, rows in _blocks(layer):
        wide = np.ascontiguousarray(rows, np.float32).view(np.uint32)
        wide = wide + 0x7FFF + ((wide >> 16) & 1)  # ties go to the even neighbour
        bits[:, start : start + len(rows)] = (wide >> 16).T
    return bits


def as_float32(layer: DenseLayer) -> NDArray[np.float32]:
    """Return the folded kernel, (outputs, inputs)."""
    inputs, outputs = layer.kernel.shape
    kernel = np.empty((outputs, inputs), np.float32)
    for start, rows in _blocks(layer):
        kernel[:, start : start + len(rows)] = rows.T
    return kernel


def _blocks(layer: DenseLayer) -> Iterator[tuple[int, NDArray[np.float32]]]:
    for start in range(0, len(layer.kernel), _ROWS):
        yield start, layer.rows(start, start + _ROWS)
