"""One forward pass: every engine of a bundle against Keras's `predict` and the memory's speed."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.clock import measure
from benchmarks.machine import describe, memory_bandwidth_gb_s
from benchmarks.report import Bars, Goal, Report, Row
from benchmarks.samples import photographs
from model_store.bundle import LADDER, Bundle, engine_files, open_model
from model_store.manifest import MODEL_FILE, EngineName
from training.inference import predict_all
from training.sources import Source, open_labelled

BATCHES = (1, 8, 32)
BASELINE = "model.predict"

Predict = Callable[[NDArray[np.uint8]], object]
Probabilities = NDArray[np.float32]


def run(bundle: Bundle, seconds: float, data: Path | None) -> Report:
    """Measure each engine; with labelled `data`, also how far it is from Keras on real images."""
    size = (bundle.manifest.image.height, bundle.manifest.image.width)
    images = photographs(max(BATCHES), size)
    bandwidth = memory_bandwidth_gb_s()
    rows = [_row(BASELINE, _model_predict(bundle), images, seconds, None)]
    baseline = rows[0]
    for name in _engines(bundle):
        model = open_model(bundle, name)
        files = engine_files(bundle.manifest, name)
        limit_ms = sum(bundle.manifest.files[path].size for path in files) / bandwidth / 1e6
        row = _row(name, model.predict, images, seconds, limit_ms)
        rows.append({**row, "× model.predict, batch 32": _ratio(baseline, row)})
        model.close()
    tables = {f"Milliseconds per batch, {size[0]} × {size[1]}": rows}
    if data is not None:
        tables[f"Against float32 Keras on {data.name}"] = _parity(bundle, open_labelled(data))
    return Report(
        "engines",
        {**describe(), "memory_gb_s": bandwidth},
        tables,
        goals=[_batch_1_goal(rows)],
        charts=[
            Bars(f"Batch of {batch}", "ms", {"ms": {str(r["engine"]): _ms(r, batch) for r in rows}})
            for batch in BATCHES
        ],
        notes=["limit: reading the engine's weights once, at the speed of a large copy."],
    )


def _row(
    name: str, predict: Predict, images: NDArray[np.uint8], seconds: float, limit_ms: float | None
) -> Row:
    costs = {batch: measure(partial(predict, images[:batch]), seconds) for batch in BATCHES}
    return {
        "engine": name,
        **{f"batch {batch}": cost.wall_ms for batch, cost in costs.items()},
        "limit": limit_ms,
    }


def _ms(row: Row, batch: int) -> float:
    return float(row[f"batch {batch}"] or 0)


def _ratio(baseline: Row, row: Row) -> float:
    return _ms(baseline, 32) / _ms(row, 32)


def _batch_1_goal(rows: Sequence[Row]) -> Goal:
    fastest = min(_ms(row, 1) for row in rows[1:])
    return Goal("fastest engine over model.predict, batch 1", _ms(rows[0], 1) / fastest, 10, True)


def _model_predict(bundle: Bundle) -> Predict:
    from model_store.engines.keras import runtime

    model = runtime()[0].models.load_model(bundle.folder / MODEL_FILE, compile=False)
    return lambda images: model.predict(images, verbose=0)


def _engines(bundle: Bundle) -> list[EngineName]:
    return [name for name in LADDER if name in bundle.manifest.engines]


def _parity(bundle: Bundle, source: Source) -> list[Row]:
    truth = np.array([bundle.manifest.labels.index(str(item.label)) for item in source.items])
    splits = np.array([item.split or "all" for item in source.items])
    answers = {name: _predicted(bundle, name, source) for name in _engines(bundle)}
    return [
        {"engine": name, "split": str(split), **_distance(received, answers["keras"], truth, here)}
        for name, received in answers.items()
        for split in np.unique(splits)
        for here in [splits == split]
    ]


def _distance(
    received: Probabilities,
    expected: Probabilities,
    truth: NDArray[np.int64],
    here: NDArray[np.bool_],
) -> Row:
    difference = np.abs(received - expected)[here]
    return {
        "images": int(here.sum()),
        "same class": float(np.mean((received.argmax(1) == expected.argmax(1))[here])),
        "mean |Δp|": float(difference.mean()),
        "largest |Δp|": float(difference.max()),
        "accuracy": float(np.mean((received.argmax(1) == truth)[here])),
    }


def _predicted(bundle: Bundle, name: EngineName, source: Source) -> Probabilities:
    """Return (N, labels) float32 for every image; each must be readable."""
    model = open_model(bundle, name)
    found = predict_all(model, source, iter(range(len(source.items))), lambda _: None)
    probabilities = np.stack([p.probabilities for p in found if p.probabilities is not None])
    model.close()
    return probabilities
