"""Predictions for an image, a folder or an `.npz`, as CSV."""

import csv
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
_KAGGLE = ("ImageId", "Label")

Format = Literal["csv", "kaggle"]


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
    source, labels = open_unlabelled(path), model.labels
    everything = range(len(source.items))
    numbered = _numbered(source) if layout == "kaggle" else list(enumerate(everything))
    chosen = [index for _, index in numbered]
    others = sorted({*everything} - {*chosen})
    unreadable = {source.items[i].name: "no image; it has no row" for i in others}
    with (
        reporter.stage(f"Predicting with {model.name} {model.version}", len(chosen)) as advance,
        _opened(output) as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_KAGGLE if layout == "kaggle" else header(labels))
        predictions = predict_all(model, source, iter(chosen), advance)
        for (number, index), prediction in zip(numbered, predictions, strict=True):
            name = source.items[index].name
            if prediction.error is not None:
                unreadable[name] = prediction.error
            row = row_of(name, prediction, labels)
            writer.writerow((number, row[1]) if layout == "kaggle" else row)
    return unreadable


def header(labels: Sequence[str]) -> Sequence[str]:
    """Return the columns' names: a class has its label, while that can mean nothing else."""
    if any(label in _COLUMNS or label.startswith(_CLASS_PREFIX) for label in labels):
        labels = [f"{_CLASS_PREFIX}{label}" for label in labels]
    return (*_COLUMNS[:-1], *labels, _COLUMNS[-1])


def row_of(name: str, prediction: Prediction, labels: Sequence[str]) -> Sequence[str | float]:
    """Return the values of an image's columns; what there is none of is an empty text."""
    if prediction.probabilities is None:
        return (name, "", "", *("" for _ in labels), str(prediction.error))
    values = prediction.probabilities.tolist()
    return (name, labels[int(prediction.probabilities.argmax())], max(values), *values, "")


def _numbered(source: Source) -> list[tuple[int, int]]:
    """Return id and position of each image, by id: its file name, or its place from 1."""
    images = image_indices(source)
    names = {i: PurePosixPath(source.items[i].name) for i in images}
    if all(re.fullmatch("[0-9]+", name.stem) for name in names.values()):
        numbered = sorted((int(name.stem), i) for i, name in names.items())
        if len({number for number, _ in numbered}) == len(numbered):
            return numbered
    # An .npz keeps its array order: its names are x_test[0], x_test[1], …
    return list(enumerate(sorted(images, key=lambda i: natural_key(source.items[i].name)), 1))


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
