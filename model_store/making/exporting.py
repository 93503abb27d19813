"""From the trained Keras network to engines that serve it, each measured against it."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from model_store.engines.keras import KerasEngine
from model_store.engines.openvino import open_file
from model_store.errors import EngineUnavailable
from model_store.making.answers import Answers, Images, Predict, answer
from model_store.making.folding import FoldedNetwork, NotFoldable, fold
from model_store.making.graphs import Weights, write_graph
from model_store.manifest import MODEL_FILE, EngineName, EngineRecord, Parity

logger = logging.getLogger(__name__)

MIN_TOP1_AGREEMENT = 0.999
MAX_MEAN_ABS_DP = 0.002
BATCH_SIZES = (1, 4, 8, 16, 24, 32)

_WEIGHTS: dict[EngineName, Weights] = {"openvino-int8": "int8", "openvino-f32": "f32"}
_ENOUGH = 0.9  # of the best throughput; a batch size that reaches it is large enough
_NOT_SLOWER = 1.1  # times closer than this are the same, and more bits are better;
_NEGLIGIBLE_MS = 0.01  # also those whose difference per image nobody would notice
_TOLERANCE_FLOOR = 0.005  # another CPU, or another TensorFlow, sums in another order,
_TOLERANCE_FACTOR = 3  # or rounds differently
_MAX_DIFFERENCE = 0.1
_MEASURING_SECONDS = 0.2  # per batch size


def export_engines(
    model: Any, folder: Path, examples: Answers, probes: Answers
) -> tuple[dict[EngineName, EngineRecord], EngineName]:
    """Write the engines of a published network into `folder/engine`, and measure them.

    Args:
        model: uint8 (None, H, W) in, softmax probabilities out.
        folder: of the bundle in the making.
        examples: images such as the model will see, and its answers; validation images.
        probes: those that are replayed when an engine is opened.

    Returns:
        A record per engine, "keras" included, and the engine to serve with: the fastest of those
        that answer as the model does. A network that cannot be exported has "keras" alone.
    """
    latency_ms = _time_batches(KerasEngine(model).predict, examples.images)
    records: dict[EngineName, EngineRecord] = {"keras": _record(MODEL_FILE, latency_ms)}
    try:
        network = fold(model)
    except NotFoldable as reason:
        logger.warning("No engine but keras: %s", reason)
        return records, "keras"
    (folder / "engine").mkdir(exist_ok=True)
    for name, weights in _WEIGHTS.items():
        if weights == "int8" and network.pool > 1:
            continue
        record = _export(name, network, folder, examples, probes)
        if record is not None:
            records[name] = record
    return records, choose_default(records)


def choose_default(records: Mapping[EngineName, EngineRecord]) -> EngineName:
    """Return the fastest engine that answers as the Keras model does, "keras" if none does.

    Fastest is the best throughput at any batch size. Among engines that are nearly equally fast,
    the one that is nearest to the model wins.
    """
    differences = {name: r.parity.mean_abs_dp for name, r in records.items() if r.parity}
    costs = {
        name: min(milliseconds / int(size) for size, milliseconds in record.latency_ms.items())
        for name, record in records.items()
        if record.parity
        and record.parity.top1_agreement >= MIN_TOP1_AGREEMENT
        and record.parity.mean_abs_dp <= MAX_MEAN_ABS_DP
    }
    if not costs:
        return "keras"
    least = min(costs.values())
    most = max(_NOT_SLOWER * least, least + _NEGLIGIBLE_MS)
    fast = [name for name, cost in costs.items() if cost <= most]
    return min(fast, key=lambda name: differences[name])


def _export(
    name: EngineName, network: FoldedNetwork, folder: Path, examples: Answers, probes: Answers
) -> EngineRecord | None:
    file = f"engine/{name}.xml"
    images = examples.images
    size = images.shape[1], images.shape[2]
    mean_pixels = images.mean(axis=0, dtype=np.float64).reshape(-1)  # (H*W,)
    write_graph(network, _WEIGHTS[name], folder / file, size, mean_pixels)
    try:
        engine = open_file(folder / file, name, size, pool=network.pool)
        try:
            return _measure(file, network.pool, engine.predict, examples, probes)
        finally:
            engine.close()
    except EngineUnavailable as reason:
        logger.warning("Not exported: %s", reason)
        (folder / file).unlink()
        (folder / file).with_suffix(".bin").unlink()
        return None


def _measure(
    file: str, pool: int, predict: Predict, examples: Answers, probes: Answers
) -> EngineRecord:
    on_probes = answer(predict, probes.images).probabilities - probes.probabilities
    probe_difference = float(np.abs(on_probes).max())
    if probe_difference > _MAX_DIFFERENCE:  # no replay could tell it from another model
        raise EngineUnavailable(f"{file} is off by {probe_difference:.2f} on a probe")
    received, expected = answer(predict, examples.images).probabilities, examples.probabilities
    differences = received - expected  # (N, labels)
    parity = Parity(
        images=len(differences),
        top1_agreement=float(np.mean(received.argmax(axis=1) == expected.argmax(axis=1))),
        mean_abs_dp=float(np.abs(differences).mean()),
        max_abs_dp=float(np.abs(differences).max()),
    )
    latency_ms = _time_batches(predict, examples.images)
    return _record(file, latency_ms, parity, _TOLERANCE_FACTOR * probe_difference, pool)


def _record(
    file: str,
    latency_ms: dict[str, float],
    parity: Parity | None = None,
    tolerance: float = 0.0,
    pool: int = 1,
) -> EngineRecord:
    return EngineRecord(
        file=file,
        parity=parity,
        latency_ms=latency_ms,
        max_batch=_batch_worth_forming(latency_ms),
        pool=pool,
        probe_tolerance=max(_TOLERANCE_FLOOR, tolerance),
    )


def _batch_worth_forming(latency_ms: Mapping[str, float]) -> int:
    rates = {int(size): int(size) / milliseconds for size, milliseconds in latency_ms.items()}
    return min(size for size, rate in rates.items() if rate >= _ENOUGH * max(rates.values()))


def _time_batches(predict: Predict, images: Images) -> dict[str, float]:
    return {
        str(size): _median_ms(predict, images[np.arange(size) % len(images)])
        for size in BATCH_SIZES
    }


def _median_ms(predict: Predict, batch: Images) -> float:
    predict(batch)  # the first call allocates, or compiles
    milliseconds: list[float] = []
    end = time.perf_counter() + _MEASURING_SECONDS
    while time.perf_counter() < end or len(milliseconds) < 3:
        start = time.perf_counter()
        predict(batch)
        milliseconds.append(1000 * (time.perf_counter() - start))
    return float(np.median(milliseconds))
