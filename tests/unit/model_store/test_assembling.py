import json
import zipfile
from typing import Any

import keras
import numpy as np
import pytest
from pictures import encoded
from PIL import Image
from tiny_models import TINY_LABELS, TINY_SPEC, tiny_network

import model_store.making.exporting
from model_store.errors import IncompatibleModel
from model_store.making.assembling import assemble, check_probabilities, save_model


@pytest.fixture
def images() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(5).integers(0, 256, (9, 12, 10), np.uint8)


def test_an_engine_of_another_network_is_left_out(tmp_path, images, monkeypatch):
    real = model_store.making.exporting.export_engines

    def export_another(_: Any, *arguments: Any) -> Any:
        return real(tiny_network(seed=1), *arguments)

    monkeypatch.setattr("model_store.making.exporting.export_engines", export_another)

    made = assemble(tmp_path, tiny_network(seed=0), TINY_SPEC, TINY_LABELS, images, [])

    assert list(made.engines) == ["keras"]
    assert made.default_engine == "keras"
    assert list((tmp_path / "engine").iterdir()) == []


def test_at_most_eight_given_images_become_probes_called_by_their_formats(tmp_path, images):
    kinds = ("TIFF", "AVIF", "JPEG", *["PNG"] * 6)
    given = [
        encoded(Image.fromarray(image), kind) for image, kind in zip(images, kinds, strict=True)
    ]

    made = assemble(tmp_path, tiny_network(seed=0), TINY_SPEC, TINY_LABELS, images, given)

    stored = {path.name: path.read_bytes() for path in (tmp_path / "probe").iterdir()}
    assert len(made.probes) == 10 + 8
    assert [stored[name] for name in ("10.tif", "11.avif", "12.jpg")] == given[:3]
    assert set(given[:8]) <= set(stored.values())
    assert given[8] not in stored.values()


def test_the_saved_file_is_what_keras_itself_would_save(tmp_path, images):
    model = tiny_network(seed=0)
    save_model(model, tmp_path / "ours.keras")
    model.save(tmp_path / "theirs.keras")  # type: ignore[attr-defined]  # Keras ships no types

    with (
        zipfile.ZipFile(tmp_path / "ours.keras") as a,
        zipfile.ZipFile(tmp_path / "theirs.keras") as b,
    ):
        ours, theirs = (json.loads(each.read("config.json")) for each in (a, b))
        assert sorted(a.namelist()) == sorted(b.namelist())
    theirs.pop("compile_config", None)
    assert _without_ids(ours) == _without_ids(theirs)
    reloaded = keras.saving.load_model(tmp_path / "ours.keras")
    assert np.allclose(reloaded(images), model(images))  # type: ignore[operator]  # as above
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ours.keras", "theirs.keras"]


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_ids(v) for k, v in value.items() if k != "shared_object_id"}
    return [_without_ids(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[np.nan, 0.5]], "NaN or infinite"),
        ([[np.inf, 0]], "NaN or infinite"),
        ([[1.5, -0.5]], "from -0.5 to 1.5"),
        ([[0.5, 0.6]], "sum to 1.1"),
        ([[0.5, 0.5], [0, 0]], "sum to 0 to 1"),
    ],
)
def test_outputs_that_are_no_probabilities_are_refused(rows, message):
    with pytest.raises(IncompatibleModel, match=message):
        check_probabilities(np.array(rows, np.float32))
