"""One forward pass: every engine of a bundle against Keras's `predict` and the memory's speed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import measure, memory_bandwidth_gb_s
from benchmarks.report import Goal, Report, Row
from benchmarks.samples import photographs
from model_store.bundle import LADDER, Bundle, Model, engine_files, open_model
from model_store.errors import EngineUnavailable
from model_store.inference import predict_all
from model_store.manifest import MODEL_FILE
from model_store.sources import Source, open_labelled

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
    for model in _models(bundle):
        files = engine_files(bundle.manifest, model.engine_name)
        limit_ms = sum(bundle.manifest.files[path].size for path in files) / bandwidth / 1e6
        row = _row(model.engine_name, model.predict, images, seconds, limit_ms)
        rows.append({**row, "× model.predict, batch 32": _ratio(baseline, row)})
    tables = {f"Milliseconds per batch, {size[0]} × {size[1]}": rows}
    if data is not None:
        tables[f"Against float32 Keras on {data.name}"] = _parity(bundle, open_labelled(data))
    return Report(
        tables,
        [_batch_1_goal(rows)],
        [f"limit: reading the engine's weights once, at {bandwidth:.0f} GB/s as in a large copy."],
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
    return Goal(
        "One image on the fastest engine: times as fast as `model.predict`",
        _ms(rows[0], 1) / fastest,
        10,
        True,
        "×",
    )


def _model_predict(bundle: Bundle) -> Predict:
    from model_store.engines.keras import runtime

    model = runtime()[0].models.load_model(bundle.folder / MODEL_FILE, compile=False)
    return lambda images: model.predict(images, verbose=0)


def _models(bundle: Bundle) -> Iterator[Model]:
    """Open one engine after the other; those that this machine cannot run are left out."""
    for name in LADDER:
        if name in bundle.manifest.engines:
            with suppress(EngineUnavailable), closing(open_model(bundle, name)) as model:
                yield model


def _parity(bundle: Bundle, source: Source) -> list[Row]:
    truth = np.array([bundle.manifest.labels.index(str(item.label)) for item in source.items])
    splits = np.array([item.split or "all" for item in source.items])
    answers = {model.engine_name: _predicted(model, source) for model in _models(bundle)}
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


def _predicted(model: Model, source: Source) -> Probabilities:
    """Return (N, labels) float32 for every image; each must be readable."""
    found = predict_all(model, source, iter(range(len(source.items))), lambda _: None)
    return np.stack([p.probabilities for p in found if p.probabilities is not None])
