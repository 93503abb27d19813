from dataclasses import replace

import numpy as np
from dense_networks import layer
from hypothesis import given
from hypothesis import strategies as st

from model_store.making.quantizing import Int8Kernel, group_shape, quantize


def restored(kernel: Int8Kernel, inputs: int) -> np.ndarray:
    """Return what the bytes stand for, (inputs, outputs)."""
    flat = kernel.values.transpose(1, 0, 2).reshape(len(kernel.steps), -1)[:, :inputs]
    return (flat * kernel.steps[:, None]).T


def folded(dense: object) -> np.ndarray:
    return np.asarray(dense.rows(0, len(dense.kernel)), np.float64)  # type: ignore[attr-defined] # DenseLayer


def test_no_weight_is_off_by_more_than_half_a_step():
    dense = layer(20_000, 8)

    kernel = quantize(dense, np.zeros(20_000))

    error = np.abs(restored(kernel, 20_000) - folded(dense))
    assert (error <= kernel.steps / 2 * 1.0001).all()
    assert error.max() > kernel.steps.min() / 4, "something must have been rounded"


def test_each_output_has_a_step_of_its_own():
    dense = replace(layer(100, 3), gain=np.array([1.0, 10.0, 100.0]))

    steps = quantize(dense, np.zeros(100)).steps

    assert steps[1] > 5 * steps[0]
    assert steps[2] > 5 * steps[1]


def test_an_output_without_weights_stays_zero():
    dense = replace(layer(100, 2), gain=np.array([0.0, 1.0]))

    kernel = quantize(dense, np.full(100, 77.0))

    assert (restored(kernel, 100)[:, 0] == 0).all()
    assert np.isfinite(kernel.bias).all()


def test_bias_takes_back_what_rounding_adds_to_every_image():
    inputs = 3000
    dense = layer(inputs, 16)
    rng = np.random.default_rng(5)
    mean_image = rng.uniform(0, 255, inputs)
    images = np.clip(mean_image + rng.normal(0, 20, (200, inputs)), 0, 255)

    corrected = quantize(dense, images.mean(axis=0))
    uncorrected = quantize(dense, np.zeros(inputs))

    def mean_error(kernel: Int8Kernel) -> float:
        sums = images @ restored(kernel, inputs) + kernel.bias
        return float(np.abs((sums - images @ folded(dense)).mean(axis=0)).mean())

    assert mean_error(uncorrected) > 1e-3
    assert mean_error(corrected) < 1e-3 * mean_error(uncorrected)


@given(st.integers(1, 8192 * 8192))
def test_no_group_can_overflow_32_bits(inputs):
    groups, width = group_shape(inputs)

    assert groups * width >= inputs
    assert (groups - 1) * width < inputs, "no group is empty"
    assert width * 255 * 127 < 2**31
    assert width % 64 == 0
