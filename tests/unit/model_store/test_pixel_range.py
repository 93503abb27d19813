"""Networks get pixels of the range that they were trained on, or a doubt is uttered."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from foreign_networks import (
    HEIGHT,
    SIZE,
    WIDTH,
    branched,
    dense,
    floats,
    functional,
    sequential,
    wrap,
)

LABELS = ("dark", "bright")


@pytest.fixture(scope="module")
def photos() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Images of which the first half is dark, and the second bright."""
    rng = np.random.default_rng(0)
    levels = np.r_[rng.uniform(0, 120, 48), rng.uniform(136, 255, 48)]
    noise = rng.normal(0, 10, (96, *SIZE))
    return np.clip(levels[:, None, None] + noise, 0, 255).astype(np.uint8)


def telling(divisor: float) -> Any:
    """Return a network that tells images apart if their pixels are divided by `divisor`."""
    model = network()
    first, second = model.layers[1:]
    rng = np.random.default_rng(3)
    kernel = rng.normal(0, 8 / np.sqrt(HEIGHT * WIDTH), (HEIGHT * WIDTH, 8))
    first.kernel.assign(kernel * divisor / 255)
    first.bias.assign(np.full(8, 0.5))
    second.kernel.assign(rng.normal(0, 1, (8, 2)))
    return model


def network(*front: Any) -> Any:
    """Return a network with random weights."""
    return sequential(*front, keras.layers.Flatten(), dense(8, "relu"), dense(2, "softmax"))


def nested_rescaling() -> Any:
    return keras.Sequential([keras.layers.Rescaling(1 / 255), keras.layers.RandomFlip()])


def twice_nested() -> Any:
    return functional(keras.layers.Dropout(0.1), nested_rescaling())


def normalization(divisor: float) -> Any:
    layer = keras.layers.Normalization(axis=None)
    layer.adapt(np.random.default_rng(1).integers(0, 256, (20, *SIZE, 1)) / divisor)
    return layer


def batch_normalization() -> Any:
    return keras.layers.BatchNormalization(momentum=0.5)


FRONTS: dict[str, tuple[Callable[[], Any], float]] = {
    "a nested Rescaling": (nested_rescaling, 1),
    "one nested twice": (twice_nested, 1),
    "to -1 … 1": (lambda: keras.layers.Rescaling(1 / 127.5, -1), 1),
    "centred, not scaled": (lambda: keras.layers.Rescaling(1, -127.5), 1),
    "halved and centred": (lambda: keras.layers.Rescaling(0.5, -64), 1),
    "from 0 … 1 to -1 … 1": (lambda: keras.layers.Rescaling(2, -1), 255),
    "Normalization of bytes": (lambda: normalization(1), 1),
    "Normalization of fractions": (lambda: normalization(255), 255),
    "BatchNormalization of bytes": (batch_normalization, 1),
    "BatchNormalization of fractions": (batch_normalization, 255),
}


@pytest.mark.parametrize(("front", "divisor"), FRONTS.values(), ids=FRONTS)
def test_layers_say_which_pixels_they_were_fitted_to(photos, front, divisor):
    model = network(front())
    for _ in range(20):  # batch normalization takes note of what it sees
        model(floats(photos, divisor), training=True)
    before = model(floats(photos, divisor), training=False)

    wrapped, notes = wrap(model, LABELS, photos)

    assert np.allclose(wrapped(photos, training=False), before, atol=1e-4)
    assert f"expects pixels of {'0-255' if divisor == 1 else '0-1'}" in notes[0]


def test_a_rescaling_inside_of_branches_is_seen(photos):
    model = branched(dense(2), keras.layers.Softmax(), front=keras.layers.Rescaling(1 / 255))

    wrapped, _ = wrap(model, LABELS)

    assert np.allclose(wrapped(photos), model(floats(photos, 1)), atol=1e-5)


def test_a_normalization_after_weights_says_nothing_of_pixels(photos):
    model = network(keras.layers.Flatten(), dense(8), batch_normalization())
    for _ in range(20):
        model(floats(photos, 1), training=True)

    _, notes = wrap(model, LABELS, photos)

    assert notes[:1] == ["Pixels are divided by 255 before they reach it; --pixels 0-255 if not."]


@pytest.mark.parametrize("source", ["examples", "drawings"])
@pytest.mark.parametrize(
    ("divisor", "pixels", "oddity"),
    [
        (255, "0-255", "with pixels of 0-255 it is certain of nearly every image"),
        (1, "0-1", "with pixels of 0-1 it answers nearly the same for every image"),
        (1, "auto", "with pixels of 0-1 it answers nearly the same for every image"),
        (255, "0-1", None),
        (255, "auto", None),
        (1, "0-255", None),
    ],
)
def test_answers_of_the_other_range_raise_a_doubt(photos, source, divisor, pixels, oddity):
    images = photos if source == "examples" else None

    _, notes = wrap(telling(divisor), LABELS, images, pixels=pixels)

    warnings = [note for note in notes if note.startswith("Warning")]
    assert len(warnings) == (oddity is not None)
    if oddity is not None:
        other = "0-1" if pixels == "0-255" else "0-255"
        assert oddity in warnings[0]
        assert f"--pixels {other}" in warnings[0]
