"""The accuracy of a published model on any labelled folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_store.bundle import Model
from model_store.manifest import Metrics
from training.errors import InvalidLayout, NoImages
from training.inference import predict_all
from training.metrics import measure
from training.progress import Reporter
from training.sources import Source, open_labelled


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures, and the files that could not be read."""

    metrics: Metrics
    unreadable: dict[str, str]  # name -> reason


def evaluate(model: Model, path: Path, reporter: Reporter) -> Evaluation:
    """Run every image of `path` (of its test split, where it has splits) through `model`.

    Raises:
        DatasetError: the path is no labelled folder, has labels that the model does not know, or
            holds no readable image.
    """
    source = open_labelled(path)
    split, chosen = _chosen(source)
    index = _label_index(source, chosen, model.labels)
    truth, probabilities, unreadable = [], [], {}
    with reporter.stage(f"Evaluating {model.name} {model.version}", len(chosen)) as advance:
        for prediction in predict_all(model, source, iter(chosen), advance):
            item = source.items[prediction.index]
            if prediction.probabilities is None:
                unreadable[item.name] = str(prediction.error)
            else:
                truth.append(index[str(item.label)])
                probabilities.append(prediction.probabilities)
    if not truth:
        raise NoImages(f"Expected readable images in {path}. Received: {len(unreadable)} others")
    metrics = measure(split, model.labels, np.array(truth, np.int64), np.stack(probabilities))
    return Evaluation(metrics, unreadable)


def _chosen(source: Source) -> tuple[str, list[int]]:
    splits = {item.split for item in source.items}
    split = "test" if "test" in splits else None
    chosen = [i for i, item in enumerate(source.items) if item.split == split or split is None]
    return split or "all", chosen


def _label_index(source: Source, chosen: Sequence[int], labels: Sequence[str]) -> dict[str, int]:
    index = {label: k for k, label in enumerate(labels)}
    occurring = {str(source.items[i].label) for i in chosen}
    if unknown := sorted(occurring - set(index)):
        raise InvalidLayout(
            f"Expected folders named after the model's labels: {', '.join(labels)}. "
            f"Received also: {', '.join(unknown)}"
        )
    return index
