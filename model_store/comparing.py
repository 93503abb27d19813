"""Two versions of a model on the same images: is one of them better, or is it chance?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Model
from model_store.errors import IncompatibleModel, InvalidLayout
from model_store.inference import answers_of
from model_store.manifest import Comparison
from model_store.sources import Source, judged_images, label_of
from model_store.store.seen import is_seen

SIGNIFICANCE = 0.05


@dataclass(frozen=True, slots=True)
class Change:
    """One image that two versions answer differently."""

    name: str
    truth: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Diff:
    """Two versions on one folder."""

    comparison: Comparison  # of the new version with the old one, on images neither learned from
    changes: Sequence[Change]  # on all images
    images: int
    seen: int  # images that one of them was trained on; left out of the comparison
    unreadable: dict[str, str]


def diff(old: Model, new: Model, source: Source) -> Diff:
    """Run the test images of `source`, or all if it has no splits, through two versions of a model.

    Raises:
        IncompatibleModel: their labels differ.
        InvalidLayout: a folder is none of their labels.
        NoImages: nothing can be read.
    """
    if old.labels != new.labels:
        raise IncompatibleModel(
            f"Expected two versions with the same labels. Received: {', '.join(old.labels)} and "
            f"{', '.join(new.labels)}"
        )
    _, chosen = judged_images(source)
    (old_answers, old_unreadable), (new_answers, new_unreadable) = (
        answers_of(model, source, chosen, lambda _: None) for model in (old, new)
    )
    both = [i for i in old_answers if i in new_answers]
    index = label_index(source, both, new.labels)
    truth = np.array([index[str(source.items[i].label)] for i in both], np.int64)
    before, after = (
        np.array([answers[i].argmax() for i in both]) for answers in (old_answers, new_answers)
    )
    fresh = ~(is_seen(old.bundle, source, both) | is_seen(new.bundle, source, both))
    return Diff(
        compare(old.version, (before == truth)[fresh], (after == truth)[fresh]),
        [
            Change(source.items[i].name, *(new.labels[k] for k in (t, a, b)))
            for i, t, a, b in zip(both, truth, before, after, strict=True)
            if a != b
        ],
        len(both),
        int((~fresh).sum()),
        old_unreadable | new_unreadable,
    )


def compare(version: int, other_right: NDArray[np.bool_], right: NDArray[np.bool_]) -> Comparison:
    """Compare a model with `version`, by which of the same images each gets right, (N,)."""
    only, only_other = int((right & ~other_right).sum()), int((other_right & ~right).sum())
    p_value = mcnemar(only, only_other)
    difference: Literal["better", "worse"] = "better" if only > only_other else "worse"
    return Comparison(
        version=version,
        images=len(right),
        accuracy=float(right.mean()) if len(right) else None,
        other_accuracy=float(other_right.mean()) if len(right) else None,
        only_right=only,
        only_other_right=only_other,
        p_value=p_value,
        verdict=difference if p_value < SIGNIFICANCE else "no significant difference",
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the p-value of McNemar's exact test, two-sided: could both be equally good?

    Args:
        only_first: images that only the first classifier gets right.
        only_second: images that only the second gets right.
    """
    count = only_first + only_second
    tail = [
        math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
        for k in range(min(only_first, only_second) + 1)
    ]
    return min(1.0, 2 * sum(math.exp(log - count * math.log(2)) for log in tail))


def sentence(comparison: Comparison) -> str:
    """Return a comparison in words."""
    if not comparison.images:
        return f"no image is new to both this version and version {comparison.version}"
    return (
        f"{comparison.verdict} (p = {comparison.p_value:.2g}): accuracy {comparison.accuracy:.2%}, "
        f"version {comparison.version} has {comparison.other_accuracy:.2%}, on {comparison.images} "
        f"images; {comparison.only_right} only this one gets right, "
        f"{comparison.only_other_right} only version {comparison.version}"
    )


def label_index(source: Source, chosen: Sequence[int], labels: Sequence[str]) -> dict[str, int]:
    """Return label (NFC) → position, if every one of the `chosen` images has one of `labels`.

    Raises:
        InvalidLayout: a folder is none of the labels.
    """
    index = {label_of(label): k for k, label in enumerate(labels)}
    occurring = {str(source.items[i].label) for i in chosen}
    if unknown := sorted(occurring - set(index)):
        raise InvalidLayout(
            f"Expected folders named after the model's labels: {', '.join(labels)}. "
            f"Received also: {', '.join(unknown)}"
        )
    return index
