"""Predictions for an image, a folder or an `.npz`, as CSV."""

import csv
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, TextIO

import typer

from model_store.bundle import Model
from model_store.inference import Prediction, predict_all
from model_store.sources import Source, image_indices, natural_key, open_unlabelled
from training.progress import Reporter

STANDARD_OUTPUT = Path("-")
_COLUMNS = ("path", "label", "probability", "error")
_CLASS_PREFIX = "class:"

Format = Literal["csv", "kaggle"]
Row = Sequence[str | float | int]


@dataclass(frozen=True, slots=True)
class _Table:
    """Which images a file has rows of, and what they say."""

    chosen: Sequence[int]  # positions in the source
    header: Row
    row: Callable[[int, Prediction], Row]  # of the nth image
    left_out: dict[str, str]  # name -> why it has no row


def predict(
    model: Model, path: Path, output: Path, layout: Format, reporter: Reporter
) -> dict[str, str]:
    """Write one row per image of `path`; the file appears when it is complete.

    Args:
        model: an opened bundle.
        path: an image, a folder, searched recursively, or an `.npz` with `x_test`.
        output: the CSV file, in UTF-8; `STANDARD_OUTPUT`: there.
        layout: "csv": path, label, probability, one column per class, error, in name order. Classes
            are called "class:" and their label where one has the name of another column.
            "kaggle": ImageId, Label: the file names where they are different numbers, else from 1
            in natural name order; of images only.
        reporter: shows progress.

    Returns:
        The unreadable files and why; their rows hold no label.

    Raises:
        SourceError: there are no images at `path`.
    """
    source = open_unlabelled(path)
    table = (_submission if layout == "kaggle" else _probabilities)(source, model.labels)
    unreadable = dict(table.left_out)
    title = f"Predicting with {model.name} {model.version}"
    with (
        reporter.stage(title, len(table.chosen)) as advance,
        _opened(output) as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.header)
        for n, prediction in enumerate(predict_all(model, source, iter(table.chosen), advance)):
            if prediction.error is not None:
                unreadable[source.items[prediction.index].name] = prediction.error
            writer.writerow(table.row(n, prediction))
    return unreadable


def _probabilities(source: Source, labels: Sequence[str]) -> _Table:
    def row(_: int, prediction: Prediction) -> Row:
        name = source.items[prediction.index].name
        if prediction.probabilities is None:
            return (name, "", "", *("" for _ in labels), str(prediction.error))
        values = [float(p) for p in prediction.probabilities]
        return (name, _label(prediction, labels), max(values), *values, "")

    header = ("path", "label", "probability", *_class_columns(labels), "error")
    return _Table(range(len(source.items)), header, row, {})


def _class_columns(labels: Sequence[str]) -> Sequence[str]:
    """Return the name of each class's column: its label, while that can mean nothing else."""
    if any(label in _COLUMNS or label.startswith(_CLASS_PREFIX) for label in labels):
        return [f"{_CLASS_PREFIX}{label}" for label in labels]
    return labels


def _submission(source: Source, labels: Sequence[str]) -> _Table:
    images = image_indices(source)
    ids = _numbers([source.items[i].name for i in images])
    ordered = sorted(zip(ids, images, strict=True))
    others = sorted(set(range(len(source.items))) - set(images))
    return _Table(
        [i for _, i in ordered],
        ("ImageId", "Label"),
        lambda n, prediction: (ordered[n][0], _label(prediction, labels)),
        {source.items[i].name: "no image; it has no row" for i in others},
    )


def _numbers(names: Sequence[str]) -> list[int]:
    """Return the number of each image: its file name, or its place from 1 in natural order."""
    stems = [PurePosixPath(name).stem for name in names]
    if all(re.fullmatch("[0-9]+", stem) for stem in stems):
        ids = [int(stem) for stem in stems]
        if len(set(ids)) == len(ids):
            return ids
    # An .npz keeps its array order: its names are x_test[0], x_test[1], …
    places = sorted(range(len(names)), key=lambda k: natural_key(names[k]))
    return [place for place, _ in sorted(enumerate(places, 1), key=lambda pair: pair[1])]


def _label(prediction: Prediction, labels: Sequence[str]) -> str:
    if prediction.probabilities is None:
        return ""
    return labels[int(prediction.probabilities.argmax())]


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    if path != STANDARD_OUTPUT:
        with _replaced(path) as file:
            yield file
        return
    stream = typer.get_text_stream("stdout", encoding="utf-8")
    yield stream
    stream.flush()


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
