"""What the chapters show, as plain data: no markup here, no arithmetic in the template."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.manifest import Layer
from training.judge.metrics import Reliability, accuracy_interval, reliability
from training.record import RunRecord
from training.report.plots import curve, reliability_diagram
from training.report.text import count, percent

_MATRIX_LABELS = 100
_PAIRS_SHOWN = 12
_ROWS_SHOWN = 25
_SHORT_LABEL = 4
_SHORT_HEAD = 24
_FAINTEST = 0.14
_COLUMNS = {
    "loss": "training loss",
    "accuracy": "training accuracy",
    "val_loss": "validation loss",
    "val_accuracy": "validation accuracy",
}


def headline(record: RunRecord) -> dict[str, Any]:
    """Return the key figures of the first screen."""
    test = record.test
    wrong = round(test.images * (1 - test.accuracy))
    return {
        "images": record.dataset.images["train"],
        "wrong": wrong,
        "interval": accuracy_interval(test.images - wrong, test.images),
        "forward_ms": record.engines[record.default_engine].latency_ms["1"],
    }


def network(record: RunRecord) -> dict[str, Any]:
    """Return the units; the layers, each with its share of the widest's outputs, on a log scale."""
    widest, pool = max(map(_outputs, record.layers)), record.settings.pool
    inputs = (record.spec.height // pool) * (record.spec.width // pool)
    return {
        "widths": (inputs, *record.settings.hidden, len(record.labels)),
        "parameters": sum(layer.parameters for layer in record.layers),
        "layers": [
            (layer, math.log(1 + _outputs(layer)) / math.log(1 + widest)) for layer in record.layers
        ],
    }


def learning(record: RunRecord) -> dict[str, Any]:
    """Return charts of accuracy and loss over the epochs, and the log behind them."""
    columns = [[_measured(key, v) for v in record.history[key]] for key in _COLUMNS]
    return {
        "charts": list(_charts(record)),
        "head": [*_COLUMNS.values()],
        "epochs": list(zip(*columns, strict=True)),
    }


def confusion(record: RunRecord) -> dict[str, Any]:
    """Return the confusion matrix, at most 100 classes of it, and the most frequent confusions."""
    counts = np.array(record.test.confusion)  # (labels, labels), rows are the truth
    errors = counts - np.diag(np.diag(counts))
    mistaken = errors.sum(axis=0) + errors.sum(axis=1)
    kept = np.sort(np.argsort(-mistaken, kind="stable")[:_MATRIX_LABELS])
    labels = [record.labels[index] for index in kept]
    longest = max(map(len, labels))
    return {
        "left_out": len(record.labels) - len(kept),
        "labels": labels,
        "numbers": (kept + 1).tolist(),
        "short": longest <= _SHORT_LABEL or longest * len(labels) <= _SHORT_HEAD,
        "size": "small" if len(kept) > _ROWS_SHOWN else "medium" if len(kept) > 12 else "large",
        "rows": _matrix(counts[np.ix_(kept, kept)], counts[kept].sum(axis=1)),
        "pairs": list(_worst_pairs(errors, counts.sum(axis=1), record.labels)),
    }


def classes(record: RunRecord) -> dict[str, Any]:
    """Return the scores per class; the weakest apart where there are many."""
    rows = record.test.per_class
    weakest = sorted((row for row in rows if row.support), key=lambda row: row.f1)
    return {"rows": rows, "weakest": weakest[:_PAIRS_SHOWN] if len(rows) > _ROWS_SHOWN else []}


def calibration(record: RunRecord) -> list[dict[str, Any]]:
    """Return confidence against accuracy, before and after temperature scaling."""
    fitted = record.calibration
    return [
        _calibrated("Before", reliability(record.truth, record.uncalibrated), fitted.ece_before),
        _calibrated("After", reliability(record.truth, record.probabilities), fitted.ece_after),
    ]


def data(record: RunRecord) -> dict[str, str]:
    """Return how many images each split holds."""
    splits = {f"{split} images": count(n) for split, n in record.dataset.images.items()}
    unreadable = count(record.dataset.unreadable)
    return splits | {"classes": count(len(record.labels)), "unreadable files": unreadable}


def engines(record: RunRecord) -> dict[str, Any]:
    """Return the engines, and the batch sizes that were timed with any of them."""
    timed = {size for engine in record.engines.values() for size in engine.latency_ms}
    sizes = sorted(timed, key=int)
    return {"engines": record.engines, "sizes": sizes, "batches": [f"batch of {n}" for n in sizes]}


def settings(record: RunRecord) -> dict[str, Any]:
    """Return what reproduces the run, by name, and the stages' wall times with their bars."""
    longest = max(record.seconds.values(), default=0) or 1  # a notebook need not time itself
    times = [(stage, seconds, seconds / longest) for stage, seconds in record.seconds.items()]
    return {"choices": _choices(record), "times": times}


def _choices(record: RunRecord) -> dict[str, str]:
    chosen, spec = record.settings, record.spec
    return {
        "hidden layers": " · ".join(map(str, chosen.hidden)) or "none",
        "block means": f"over {chosen.pool} × {chosen.pool} pixels" if chosen.pool > 1 else "none",
        "dropout": f"{chosen.dropout:g}",
        "augmentation": chosen.augmentation,
        "epochs": f"{chosen.epochs}, weights of epoch {chosen.best_epoch}",
        "batch size": count(chosen.batch_size),
        "learning rate": f"{chosen.learning_rate:g}",
        "weight decay": f"{chosen.weight_decay:g}",
        "seed": str(chosen.seed),
        "temperature": f"{record.calibration.temperature:.4g}",
        "image size": f"{spec.height} × {spec.width} (height × width), {spec.color}",
        "resampling": spec.resampling,
        "orientation": spec.orientation,
        "behind transparency": f"grey level {spec.alpha_background}",
        "white in 16-bit images": str(spec.depth16_max),
        "formats": ", ".join(spec.formats),
        "ink normalisation": f"box of {spec.ink.box} pixels" if spec.ink else "none",
    }


def _outputs(layer: Layer) -> int:
    return math.prod(side for side in layer.output_shape[1:] if side is not None)


def _charts(record: RunRecord) -> Iterator[dict[str, Any]]:
    best_epoch = record.settings.best_epoch
    for measure in ("accuracy", "loss"):
        of = {"training": measure, "validation": f"val_{measure}"}
        lines = {name: record.history[key] for name, key in of.items()}
        alt = f"{measure.capitalize()} over {record.settings.epochs} epochs"
        told = [f"{name} {measure} {_course(measure, v)}" for name, v in lines.items()]
        yield {
            "title": measure.capitalize(),
            "svg": curve(lines, best_epoch, share=measure == "accuracy", alt=alt),
            "told": f"{'; '.join(told).capitalize()}.",
        }


def _course(measure: str, values: Sequence[float]) -> str:
    last = _measured(measure, values[-1])
    return last if len(values) == 1 else f"from {_measured(measure, values[0])} to {last}"


def _measured(measure: str, value: float) -> str:
    return percent(value) if "accuracy" in measure else f"{value:.4g}"


def _matrix(counts: NDArray[np.int64], totals: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return rows of cells (number, depth of its colour); a cell that counts nothing is None."""
    # The square root makes single errors visible beside hundreds of right answers.
    depths = np.maximum(np.sqrt(counts / np.maximum(totals, 1)[:, None]), _FAINTEST)
    return [
        {
            "total": total,
            "cells": [(n, d) if n else None for n, d in zip(row, depth, strict=True)],
        }
        for row, depth, total in zip(counts.tolist(), depths.tolist(), totals.tolist(), strict=True)
    ]


def _worst_pairs(
    errors: NDArray[np.int64], totals: NDArray[np.int64], labels: Sequence[str]
) -> Iterator[tuple[str, str, int, float]]:
    for flat in np.argsort(-errors, axis=None, kind="stable")[:_PAIRS_SHOWN]:
        truth, said = divmod(int(flat), len(labels))
        if number := int(errors[truth, said]):
            yield labels[truth], labels[said], number, number / int(totals[truth])


def _calibrated(title: str, bins: Reliability, ece: float) -> dict[str, Any]:
    alt = f"Reliability diagram {title.lower()} temperature scaling: ECE {percent(ece)}"
    rows = np.stack([bins.edges[:-1], bins.edges[1:], bins.confidence, bins.accuracy], axis=1)
    return {
        "title": title,
        "ece": ece,
        "svg": reliability_diagram(bins, alt),
        "images": int(bins.count.sum()),
        "bins": [(*row, n) for row, n in zip(rows.tolist(), bins.count.tolist(), strict=True) if n],
    }
