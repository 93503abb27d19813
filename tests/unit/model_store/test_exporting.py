from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import tiny_network

from model_store.engines.keras import runtime

keras = runtime()[0]

from model_store.engines.openvino import open_file  # noqa: E402
from model_store.errors import EngineUnavailable  # noqa: E402
from model_store.making import exporting  # noqa: E402 -- after a quiet import
from model_store.making.answers import Answers, answer  # noqa: E402
from model_store.making.exporting import choose_default, export_engines  # noqa: E402
from model_store.manifest import EngineName, EngineRecord, Parity  # noqa: E402

SIZE = (12, 10)


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_network(seed=0, size=SIZE)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (37, *SIZE), np.uint8)


def answers(model: Any, images: np.ndarray) -> Answers:
    return answer(lambda batch: model.predict(batch, verbose=0), images)


def export(model: Any, folder: Path, images: np.ndarray) -> Any:
    examples = answers(model, images)
    return export_engines(model, folder, examples, examples)


def test_every_engine_is_written_and_measured(model, images, tmp_path):
    examples, probes = answers(model, images), answers(model, 255 - images[:4])

    records, default = export_engines(model, tmp_path, examples, probes)

    assert default in records
    assert {"keras", "openvino-f32"} <= set(records)
    for name, record in records.items():
        assert {"1", "8", "32"} <= set(record.latency_ms)
        assert str(record.max_batch) in record.latency_ms
        if name == "keras":
            continue
        assert (tmp_path / record.file).is_file()
        assert record.parity.images == 37
        engine = open_file(tmp_path / record.file, name, SIZE, threads=1)
        difference = np.abs(engine.predict(images) - examples.probabilities)
        on_probes = np.abs(engine.predict(probes.images) - probes.probabilities).max()
        assert record.probe_tolerance == pytest.approx(max(0.005, 3 * on_probes), rel=0.01)
        np.testing.assert_allclose(record.parity.max_abs_dp, difference.max(), atol=1e-4)
        np.testing.assert_allclose(record.parity.mean_abs_dp, difference.mean(), atol=1e-4)
    exact = records["openvino-f32"].parity
    assert exact is not None and exact.top1_agreement == 1 and exact.max_abs_dp < 1e-5


def test_parity_notices_an_engine_that_differs(model, images, tmp_path):
    probes = answers(model, images)
    others = Answers(images, np.roll(probes.probabilities, 1, axis=1))

    records, default = export_engines(model, tmp_path, others, probes)

    parity = records["openvino-f32"].parity
    assert parity.top1_agreement < 0.5
    assert default == "keras"


def test_a_single_image_is_enough(model, images, tmp_path):
    one = images[:1]

    records, _ = export(model, tmp_path, one)

    assert "openvino-f32" in records


def test_an_architecture_that_cannot_be_exported_runs_on_keras_alone(images, tmp_path):
    convolutional = keras.Sequential(
        [
            keras.Input(SIZE, dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Reshape((*SIZE, 1)),
            keras.layers.Conv2D(2, 3),
            keras.layers.Flatten(),
            keras.layers.Dense(2, "softmax"),
        ]
    )

    records, default = export(convolutional, tmp_path, images)

    assert list(records) == ["keras"]
    assert default == "keras"
    assert not (tmp_path / "engine").exists()


def test_an_engine_this_host_lacks_is_not_exported(model, images, tmp_path, monkeypatch):
    def without_int8(path: Path, name: EngineName, *others: Any, **named: Any) -> Any:
        if name == "openvino-int8":
            raise EngineUnavailable("Expected a CPU with VNNI. Received: one without")
        return open_file(path, name, *others, **named)

    monkeypatch.setattr(exporting, "open_file", without_int8)

    records, default = export(model, tmp_path, images)

    assert "openvino-int8" not in records
    assert default != "openvino-int8"
    assert not list((tmp_path / "engine").glob("openvino-int8*"))


def record(
    milliseconds: float, agreement: float = 1.0, mean: float = 0.001, parity: bool = True
) -> EngineRecord:
    return EngineRecord(
        file="engine/any.xml",
        parity=Parity(images=9, top1_agreement=agreement, mean_abs_dp=mean, max_abs_dp=mean)
        if parity
        else None,
        latency_ms={"1": milliseconds, "8": 4 * milliseconds},
        max_batch=8,
        probe_tolerance=0.01,
    )


KERAS = record(100, parity=False)


@pytest.mark.parametrize(
    ("int8", "f32", "expected"),
    [
        (record(4), record(15, mean=0), "openvino-int8"),
        (record(4, agreement=0.9989), record(15, mean=0), "openvino-f32"),
        (record(4, mean=0.0021), record(15, mean=0), "openvino-f32"),
        (record(4, agreement=0.999, mean=0.002), record(15, mean=0), "openvino-int8"),
        (record(4), record(4.2, mean=0), "openvino-f32"),
        (record(0.02), record(0.035, mean=0), "openvino-f32"),
        (record(4, agreement=0.5), record(15, mean=0.5), "keras"),
    ],
    ids=[
        "the fastest",
        "not one that names other classes",
        "not one whose probabilities drift",
        "exactly at the limits",
        "the more exact of two that are equally fast",
        "and of two whose difference is nothing",
        "none that answers differently",
    ],
)
def test_default_is_the_fastest_that_answers_alike(int8, f32, expected):
    records: dict[EngineName, EngineRecord] = {
        "keras": KERAS,
        "openvino-int8": int8,
        "openvino-f32": f32,
    }

    assert choose_default(records) == expected


@pytest.mark.parametrize(
    ("latency_ms", "expected"),
    [
        ({"1": 4, "8": 5, "32": 16}, 32),  # 2 images per ms at the end, 1.6 at 8
        ({"1": 4, "8": 5, "32": 20}, 8),
        ({"1": 1, "8": 8, "32": 32}, 1),
    ],
)
def test_batches_grow_only_while_that_pays(latency_ms, expected):
    assert exporting._batch_worth_forming(latency_ms) == expected


def test_a_network_on_block_means_is_exported_without_bytes(images, tmp_path):
    pooled: Any = tiny_network(seed=0, pool=5, size=SIZE)

    records, _ = export(pooled, tmp_path, images)

    assert set(records) == {"keras", "openvino-f32"}
    assert (records["keras"].pool, records["openvino-f32"].pool) == (1, 5)
    parity = records["openvino-f32"].parity
    assert parity is not None and parity.max_abs_dp < 1e-5
