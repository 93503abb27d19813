"""The network on block means, written as the network on all pixels that it is."""

from typing import Any

import numpy as np
import pytest
from tiny_models import publish_tiny, tiny_network
from typer.testing import CliRunner

from model_store.__main__ import app
from model_store.bundle import open_model
from model_store.engines.keras import runtime
from model_store.errors import IncompatibleModel
from model_store.making.expanding import expanded
from model_store.store.store import ModelStore

keras = runtime()[0]


def noise(size: tuple[int, int], count: int = 20) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *size), np.uint8)


def kinds(model: Any) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


@pytest.mark.parametrize(
    ("size", "pool"), [((12, 8), 2), ((12, 8), 4), ((9, 14), 2), ((10, 7), 3), ((31, 5), 5)]
)
def test_it_answers_alike_to_float32_rounding(size, pool):
    small: Any = tiny_network(seed=1, pool=pool, size=size)
    images = noise(size)

    full = expanded(small)

    expected = small.predict(images, verbose=0)
    assert np.ptp(expected, axis=0).max() > 0.01, "the network must depend on its pixels"
    np.testing.assert_allclose(full.predict(images, verbose=0), expected, atol=2e-6)
    assert kinds(full) == kinds(tiny_network(seed=1, size=size))
    first = next(layer for layer in full.layers if isinstance(layer, keras.layers.Dense))
    assert first.kernel.shape[0] == size[0] * size[1]


def test_a_plain_network_stays_as_it_is():
    model = tiny_network(seed=1)
    assert expanded(model) is model


def test_means_before_another_layer_are_refused():
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8), dtype="uint8"),
            layers.Reshape((8, 8, 1)),
            layers.AveragePooling2D(2),
            layers.Conv2D(2, 3),
            layers.Flatten(),
            layers.Dense(2, "softmax"),
        ]
    )
    with pytest.raises(IncompatibleModel, match="Received: Reshape, AveragePooling2D, Conv2D"):
        expanded(model)


def test_the_command_writes_the_notebooks_form(tmp_path, monkeypatch):
    monkeypatch.setenv("HALFTONE_MODELS", str(tmp_path / "models"))
    store = ModelStore(tmp_path / "models")
    publish_tiny(store, "tiny", seed=3, pool=4)
    output = tmp_path / "full.keras"

    result = CliRunner().invoke(app, ["expand", "tiny", "-o", str(output)])

    assert result.exit_code == 0, result.stderr
    parameters = 120 * 16 + 16 + 16 * 16 + 16 + 16 * 3 + 3
    assert result.stdout == f"Wrote {output}: {parameters:,} parameters.\n"
    images = noise((12, 10))
    model = open_model(store.bundle("tiny"))
    full = keras.saving.load_model(output)
    np.testing.assert_allclose(full.predict(images, verbose=0), model.predict(images), atol=2e-6)
    model.close()
    assert [path.name for path in tmp_path.glob("*.keras")] == ["full.keras"]
