"""Whether a trained model is better than knowing nothing but how common each class is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from model_store.comparing import SIGNIFICANCE
from training.errors import NotLearning


@dataclass(frozen=True, slots=True)
class AgainstChance:
    """Held-out predictions against the class frequencies of the training images."""

    accuracy: float
    majority_share: float
    majority: int
    accuracy_p_value: float  # one-sided binomial, accuracy above majority_share
    loss_p_value: float  # one-sided paired t, cross-entropy below that of the frequencies


def compare_with_chance(
    truth: NDArray[np.int64], probabilities: NDArray[np.float32], frequencies: NDArray[np.float64]
) -> AgainstChance:
    """Compare predictions with always answering the training frequencies.

    Args:
        truth: (N,) label indices of images that training never saw.
        probabilities: (N, labels) predictions for them.
        frequencies: (labels,) share of each label in training; sums to 1.
    """
    majority = int(frequencies.argmax())
    right = probabilities.argmax(axis=1) == truth
    majority_share = float((truth == majority).mean())
    rows = np.arange(len(truth))
    gains = np.log(np.maximum(probabilities[rows, truth], 1e-12)) - np.log(frequencies[truth])
    return AgainstChance(
        float(right.mean()),
        majority_share,
        majority,
        float(stats.binomtest(int(right.sum()), len(truth), majority_share, "greater").pvalue),
        _gain_p_value(gains),
    )


def refuse_chance(comparison: AgainstChance, majority_label: str) -> None:
    """Refuse a model that is no better than always answering the majority class.

    Either test suffices: with few images of a rare class accuracy has no power, but the
    probabilities do.

    Raises:
        NotLearning: neither accuracy nor cross-entropy is significantly better (p < 0.05).
    """
    if min(comparison.accuracy_p_value, comparison.loss_p_value) >= SIGNIFICANCE:
        raise NotLearning(
            "The model is not learning and was not published: on images it never saw its accuracy "
            f"is {comparison.accuracy:.1%}, and always answering {majority_label!r} gives "
            f"{comparison.majority_share:.1%}. Look at what `check` says of the folder; more "
            "images per class, or another --height and --width, may help."
        )


def _gain_p_value(gains: NDArray[np.float64]) -> float:
    if len(gains) < 2 or np.ptp(gains) == 0:
        return 0.0 if gains.size and gains.min() > 0 else 1.0
    return float(stats.ttest_1samp(gains, 0, alternative="greater").pvalue)
