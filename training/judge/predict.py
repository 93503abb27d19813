"""Predictions for a folder or an `.npz`, as CSV."""

import csv
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TextIO

from model_store.bundle import Model
from model_store.inference import Prediction, predict_all
from model_store.sources import Source, natural_key, open_unlabelled
from training.progress import Reporter

Format = Literal["csv", "kaggle"]
Row = Sequence[str | float | int]


def predict(
    model: Model, path: Path, output: Path, layout: Format, reporter: Reporter
) -> dict[str, str]:
    """Write one row per image of `path`; the file appears when it is complete.

    Args:
        model: an opened bundle.
        path: a folder, searched recursively, or an `.npz` with `x_test`.
        output: the CSV file.
        layout: "csv": path, label, probability, one column per class, error, in name order;
            "kaggle": ImageId from 1 in natural name order, Label.
        reporter: shows progress.

    Returns:
        The unreadable files and why; their rows hold no label.
    """
    source = open_unlabelled(path)
    order, header, row = _layout(layout, source, model.labels)
    unreadable: dict[str, str] = {}
    with (
        reporter.stage(f"Predicting with {model.name} {model.version}", len(order)) as advance,
        _replaced(output) as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for number, prediction in enumerate(predict_all(model, source, iter(order), advance), 1):
            name = source.items[prediction.index].name
            if prediction.error is not None:
                unreadable[name] = prediction.error
            writer.writerow(row(number, name, prediction))
    return unreadable


def _layout(
    layout: Format, source: Source, labels: Sequence[str]
) -> tuple[list[int], Row, Callable[[int, str, Prediction], Row]]:
    order = list(range(len(source.items)))
    if layout == "csv":
        header = ("path", "label", "probability", *labels, "error")
        return order, header, lambda _, name, p: _csv_row(name, p, labels)
    # An .npz keeps its array order: its names are x_test[0], x_test[1], …
    order.sort(key=lambda i: natural_key(source.items[i].name))
    return order, ("ImageId", "Label"), lambda number, _, p: (number, _label(p, labels))


def _csv_row(name: str, prediction: Prediction, labels: Sequence[str]) -> Row:
    if prediction.probabilities is None:
        return (name, "", "", *("" for _ in labels), str(prediction.error))
    values = [float(p) for p in prediction.probabilities]
    return (name, _label(prediction, labels), max(values), *values, "")


def _label(prediction: Prediction, labels: Sequence[str]) -> str:
    if prediction.probabilities is None:
        return ""
    return labels[int(prediction.probabilities.argmax())]


@contextmanager
def _replaced(path: Path) -> Iterator[TextIO]:
    """Open a temporary sibling that takes the place of `path` when all went well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", newline="", encoding="utf-8") as file:
            yield file
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
