"""From the trained Keras network to engines that serve it, each measured against it."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.engines.openvino import open_file
from model_store.errors import EngineUnavailable
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
_TOLERANCE_FLOOR = 0.005  # another CPU sums in another order
_TOLERANCE_FACTOR = 3.0
_MEASURING_SECONDS = 0.2  # per batch size
_PARITY_BATCH = 32

Images = NDArray[np.uint8]
Probabilities = NDArray[np.float32]
Predict = Callable[[Images], Probabilities]


def export_engines(
    model: Any, folder: Path, images: Images, probabilities: Probabilities
) -> tuple[dict[EngineName, EngineRecord], EngineName]:
    """Write the engines of a published network into `folder/engine`, and measure them.

    Args:
        model: uint8 (None, H, W) in, softmax probabilities out.
        folder: of the bundle in the making.
        images: (N, H, W) uint8, N >= 1, such as the model will see; validation images.
        probabilities: (N, labels) of the model for them.

    Returns:
        A record per engine, "keras" included, and the engine to serve with: the fastest of those
        that answer as the model does. A network that cannot be exported has "keras" alone.
    """
    predict = _traced(model)
    latency_ms = _time_batches(predict, images)
    records: dict[EngineName, EngineRecord] = {"keras": _record(MODEL_FILE, latency_ms)}
    try:
        network = fold(model)
    except NotFoldable as reason:
        logger.warning("No engine but keras: %s", reason)
        return records, "keras"
    (folder / "engine").mkdir(exist_ok=True)
    references = _References(images, probabilities, *_stress(predict, images))
    for name, weights in _WEIGHTS.items():
        if weights == "int8" and network.pool > 1:
            continue
        record = _export(name, network, folder, references)
        if record is not None:
            records[name] = record
    return records, choose_default(records)


def choose_default(records: Mapping[EngineName, EngineRecord]) -> EngineName:
    """Return the fastest engine that answers as the Keras model does, "keras" if none does.

    Fastest is the best throughput at any batch size. Among engines that are nearly equally fast,
    the one that is nearest to the model wins.
    """
    faithful = [name for name, record in records.items() if _is_faithful(record)]
    if not faithful:
        return "keras"
    costs = {name: _cost_ms(records[name]) for name in faithful}
    least = min(costs.values())
    most = max(_NOT_SLOWER * least, least + _NEGLIGIBLE_MS)
    fast = [name for name in faithful if costs[name] <= most]
    return min(fast, key=lambda name: _mean_abs_dp(records[name]))


@dataclass(frozen=True, slots=True)
class _References:
    """What an engine is compared on: true images, and some that no model expects."""

    images: Images
    probabilities: Probabilities
    stress_images: Images
    stress_probabilities: Probabilities


def _export(
    name: EngineName, network: FoldedNetwork, folder: Path, references: _References
) -> EngineRecord | None:
    file = f"engine/{name}.xml"
    images = references.images
    size = images.shape[1], images.shape[2]
    mean_pixels = images.mean(axis=0, dtype=np.float64).reshape(-1)  # (H*W,)
    write_graph(network, _WEIGHTS[name], folder / file, size, mean_pixels)
    try:
        engine = open_file(folder / file, name, size, pool=network.pool)
    except EngineUnavailable as reason:
        logger.warning("Not exported: %s", reason)
        _remove(folder / file)
        return None
    try:
        return _measure(file, network.pool, engine.predict, references)
    finally:
        engine.close()


def _measure(file: str, pool: int, predict: Predict, references: _References) -> EngineRecord:
    difference = _predict_all(predict, references.images) - references.probabilities
    stress = _predict_all(predict, references.stress_images) - references.stress_probabilities
    answers = (difference + references.probabilities).argmax(axis=1)
    largest = float(np.abs(difference).max())
    parity = Parity(
        images=len(difference),
        top1_agreement=float(np.mean(answers == references.probabilities.argmax(axis=1))),
        mean_abs_dp=float(np.abs(difference).mean()),
        max_abs_dp=largest,
    )
    return _record(
        file,
        _time_batches(predict, references.images),
        parity,
        _TOLERANCE_FACTOR * max(largest, float(np.abs(stress).max())),
        pool,
    )


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
        probe_tolerance=min(max(_TOLERANCE_FLOOR, tolerance), 1.0),
    )


def _batch_worth_forming(latency_ms: Mapping[str, float]) -> int:
    rates = {int(size): int(size) / milliseconds for size, milliseconds in latency_ms.items()}
    return min(size for size, rate in rates.items() if rate >= _ENOUGH * max(rates.values()))


def _is_faithful(record: EngineRecord) -> bool:
    parity = record.parity
    return parity is not None and (
        parity.top1_agreement >= MIN_TOP1_AGREEMENT and parity.mean_abs_dp <= MAX_MEAN_ABS_DP
    )


def _cost_ms(record: EngineRecord) -> float:
    return min(milliseconds / int(size) for size, milliseconds in record.latency_ms.items())


def _mean_abs_dp(record: EngineRecord) -> float:
    return record.parity.mean_abs_dp if record.parity else 0.0


def _stress(predict: Predict, images: Images) -> tuple[Images, Probabilities]:
    """Return images that no data set holds, and the model's probabilities for them."""
    some = images[:8]
    shape = some.shape[1:]
    ramp = np.linspace(0, 255, shape[0] * shape[1])
    odd = [np.zeros(shape), np.full(shape, 255), ramp.reshape(shape), ramp[::-1].reshape(shape)]
    odd.append(np.random.default_rng(0).integers(0, 256, shape))
    stress = np.concatenate([255 - some, some[:, ::-1], np.stack(odd).astype(np.uint8)])
    stress = np.ascontiguousarray(stress)
    return stress, _predict_all(predict, stress)


def _predict_all(predict: Predict, images: Images) -> Probabilities:
    starts = range(0, len(images), _PARITY_BATCH)
    return np.concatenate([predict(images[start : start + _PARITY_BATCH]) for start in starts])


def _time_batches(predict: Predict, images: Images) -> dict[str, float]:
    return {str(size): _median_ms(predict, _batch(images, size)) for size in BATCH_SIZES}


def _batch(images: Images, size: int) -> Images:
    return images[np.arange(size) % len(images)]


def _median_ms(predict: Predict, batch: Images) -> float:
    predict(batch)  # the first call allocates, or compiles
    milliseconds: list[float] = []
    end = time.perf_counter() + _MEASURING_SECONDS
    while time.perf_counter() < end or len(milliseconds) < 3:
        start = time.perf_counter()
        predict(batch)
        milliseconds.append(1000 * (time.perf_counter() - start))
    return float(np.median(milliseconds))


def _traced(model: Any) -> Predict:
    import tensorflow as tf

    traced = tf.function(lambda images: model(images, training=False), reduce_retracing=True)
    return lambda images: np.asarray(traced(tf.constant(images)), np.float32)


def _remove(path: Path) -> None:
    path.unlink()
    path.with_suffix(".bin").unlink()
