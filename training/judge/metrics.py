"""Numbers that say how good probabilities are: accuracy, per-class scores, calibration."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from model_store.manifest import ClassMetrics, Metrics

CALIBRATION_BINS = 15
TEMPERATURE_RANGE = (0.05, 20.0)
# One standard deviation of log T before any image was seen: T lies within 1/1.65 and 1.65.
LOG_TEMPERATURE_SPREAD = 0.5

# Smaller probabilities count as this in the loss, as in scikit-learn's log_loss for float32.
_SMALLEST = float(np.finfo(np.float32).eps)


@dataclass(frozen=True, slots=True)
class Reliability:
    """Predictions grouped by their confidence: one row per equal-width bin of (0, 1]."""

    edges: NDArray[np.float64]  # (bins + 1,)
    confidence: NDArray[np.float64]  # (bins,) mean over the bin; 0 where it is empty
    accuracy: NDArray[np.float64]  # (bins,)
    count: NDArray[np.int64]  # (bins,)

    @property
    def ece(self) -> float:
        """Expected calibration error (Naeini et al. 2015): mean |accuracy - confidence|."""
        total = max(int(self.count.sum()), 1)
        return float(np.sum(self.count * np.abs(self.accuracy - self.confidence)) / total)


def measure(
    split: str, labels: Sequence[str], truth: NDArray[Any], probabilities: NDArray[Any]
) -> Metrics:
    """Measure predictions on one split.

    Args:
        split: its name, for the record.
        labels: in the order of the columns of `probabilities`.
        truth: (N,) integers, indices into `labels`, N >= 1.
        probabilities: (N, labels), rows sum to 1.

    Returns:
        Scores of a label that never occurs, or is never predicted, are 0; the balanced accuracy is
        over the labels that occur. Probabilities below 1.2e-7 count as that in the loss.
    """
    predicted = probabilities.argmax(axis=1)
    rows = _per_class(labels, truth, predicted)
    counts = confusion_matrix(truth, predicted, labels=np.arange(len(labels)))
    of_truth = probabilities[np.arange(len(truth)), truth].astype(np.float64)
    return Metrics(
        split=split,
        images=len(truth),
        accuracy=float(np.mean(predicted == truth)),
        balanced_accuracy=float(np.mean([row.recall for row in rows if row.support])),
        majority_share=max(row.support for row in rows) / len(truth),
        loss=float(-np.log(of_truth.clip(_SMALLEST, 1)).mean()),
        ece=reliability(truth, probabilities).ece,
        per_class=rows,
        confusion=tuple(map(tuple, counts.tolist())),
    )


def reliability(
    truth: NDArray[Any], probabilities: NDArray[Any], bins: int = CALIBRATION_BINS
) -> Reliability:
    """Group predictions by their confidence, as a reliability diagram shows them.

    Args:
        truth: (N,) integers.
        probabilities: (N, C), rows sum to 1.
        bins: number of equal-width bins (lower, upper] over the predicted class's probability.
    """
    confidence = probabilities.max(axis=1).astype(np.float64).clip(0, 1)
    correct = probabilities.argmax(axis=1) == truth
    which = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    count = np.bincount(which, minlength=bins)
    divisor = np.maximum(count, 1)
    return Reliability(
        edges=np.linspace(0, 1, bins + 1),
        confidence=np.bincount(which, weights=confidence, minlength=bins) / divisor,
        accuracy=np.bincount(which, weights=correct, minlength=bins) / divisor,
        count=count,
    )


def fit_temperature(logits: NDArray[Any], truth: NDArray[Any]) -> float:
    """Return the T for which softmax(logits / T) fits `truth` best (Guo et al. 2017).

    The negative log-likelihood alone is no guide on a small validation set: where every image is
    classified right it falls for ever as T approaches 0, and one unlucky image can send T far up.
    So T is the maximum a posteriori estimate under a log-normal prior around 1: the penalty
    (log T)² / (2 · 0.5²) is added once to the *summed* loss. A dozen images leave T near 1, a few
    hundred with some errors among them decide it alone.

    Args:
        logits: (N, C), finite; log-probabilities serve as well.
        truth: (N,) integers, indices into the columns.

    Returns:
        T within `TEMPERATURE_RANGE`; above 1 softens, below 1 sharpens.
    """

    def penalised_loss(log_t: float) -> float:
        loss = cross_entropy(logits / np.exp(log_t), truth).sum()
        return float(log_t**2 / (2 * LOG_TEMPERATURE_SPREAD**2) + loss)

    bounds = tuple(np.log(TEMPERATURE_RANGE))
    found = minimize_scalar(
        penalised_loss, bounds=bounds, method="bounded", options={"xatol": 1e-4}
    )
    return float(np.exp(found.x))


def cross_entropy(logits: NDArray[Any], truth: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the loss of each image in nats, (N,), from (N, labels) logits."""
    chosen = log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(truth)), truth]
    return np.asarray(-chosen, np.float64)


def accuracy_interval(correct: int, images: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of an accuracy (Wilson 1927), both ends in 0 to 1."""
    low, high = binomtest(correct, images).proportion_ci(0.95, method="wilson")
    return float(low), float(high)


def _per_class(
    labels: Sequence[str], truth: NDArray[Any], predicted: NDArray[Any]
) -> tuple[ClassMetrics, ...]:
    columns = precision_recall_fscore_support(
        truth, predicted, labels=np.arange(len(labels)), zero_division=0.0
    )
    return tuple(
        ClassMetrics(
            label=label, precision=float(p), recall=float(r), f1=float(f1), support=int(support)
        )
        for label, p, r, f1, support in zip(labels, *columns, strict=True)
    )
