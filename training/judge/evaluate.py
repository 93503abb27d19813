"""The accuracy of a published model on any labelled folder, apart for images it was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Model
from model_store.comparing import label_index
from model_store.inference import answers_of
from model_store.manifest import Metrics
from model_store.sources import Source, judged_images, open_labelled
from model_store.store.seen import is_seen, seen_by
from training.judge.metrics import measure
from training.progress import Reporter


@dataclass(frozen=True, slots=True)
class Wrong:
    """One image whose answer is wrong."""

    name: str
    truth: str
    answer: str
    probability: float  # of the answer


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures, and the files that could not be read or were got wrong."""

    unseen: Metrics | None  # images that the model was not trained on; None: there are none
    seen: Metrics | None  # images that it was trained on
    knows_its_images: bool  # False: the bundle does not say, and all images count as unseen
    wrong: Sequence[Wrong]  # most confident first
    unreadable: dict[str, str]  # name -> reason

    def as_json(self) -> dict[str, Any]:
        """Return plain values; the figures at the top are those of unseen images."""
        figures = dict.fromkeys(Metrics.model_fields)
        return {
            **(self.unseen.model_dump(mode="json") if self.unseen else figures),
            "seen": self.seen.model_dump(mode="json") if self.seen else None,
            "knows_its_images": self.knows_its_images,
            "unreadable": self.unreadable,
        }


def evaluate(model: Model, path: Path, reporter: Reporter) -> Evaluation:
    """Run every image of `path` (of its test split, where it has splits) through `model`.

    Raises:
        SourceError: the path is no labelled folder, has labels that the model does not know, or
            holds no readable image.
    """
    source = open_labelled(path)
    for note in source.notes:
        reporter.warn(note)
    split, chosen = judged_images(source)
    index = label_index(source, chosen, model.labels)
    with reporter.stage(f"Evaluating {model.name} {model.version}", len(chosen)) as advance:
        answers, unreadable = answers_of(model, source, chosen, advance)
    truth = np.array([index[str(source.items[i].label)] for i in answers], np.int64)
    probabilities = np.stack(list(answers.values()))
    known = is_seen(model.bundle, source, list(answers))

    def measured(which: NDArray[np.bool_]) -> Metrics | None:
        if not which.any():
            return None
        return measure(split, model.labels, truth[which], probabilities[which])

    return Evaluation(
        measured(~known),
        measured(known),
        seen_by(model.bundle) is not None,
        _wrong(source, list(answers), model.labels, truth, probabilities),
        unreadable,
    )


def _wrong(
    source: Source,
    chosen: Sequence[int],
    labels: Sequence[str],
    truth: NDArray[np.int64],
    probabilities: NDArray[np.float32],
) -> list[Wrong]:
    answers = probabilities.argmax(axis=1)
    rows = np.flatnonzero(answers != truth)
    rows = rows[np.argsort(-probabilities[rows].max(axis=1), kind="stable")]
    return [
        Wrong(
            source.items[chosen[row]].name,
            labels[truth[row]],
            labels[answers[row]],
            float(probabilities[row].max()),
        )
        for row in rows.tolist()
    ]
