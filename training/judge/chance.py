"""Whether a trained model is better than knowing nothing but how common each class is."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from model_store.comparing import SIGNIFICANCE
from training.errors import NotLearning


def refuse_chance(
    truth: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    frequencies: NDArray[np.float64],
    labels: Sequence[str],
) -> None:
    """Refuse a model that is no better than always answering the training frequencies.

    Either of two one-sided tests suffices, a binomial one of the accuracy and a paired t-test of
    the cross-entropy: with few images of a rare class accuracy has no power, but the probabilities
    do.

    Args:
        truth: (N,) label indices of images that training never saw.
        probabilities: (N, labels) predictions for them.
        frequencies: (labels,) share of each label in training; sums to 1.
        labels: for the message.

    Raises:
        NotLearning: neither accuracy nor cross-entropy is significantly better (p < 0.05).
    """
    majority = int(frequencies.argmax())
    majority_share = float((truth == majority).mean())
    right = probabilities.argmax(axis=1) == truth
    of_truth = probabilities[np.arange(len(truth)), truth]
    gains = np.log(np.maximum(of_truth, 1e-12)) - np.log(frequencies[truth])
    by_accuracy = stats.binomtest(int(right.sum()), len(truth), majority_share, "greater").pvalue
    if min(by_accuracy, _gain_p_value(gains)) >= SIGNIFICANCE:
        raise NotLearning(
            "The model is not learning and was not published: on images it never saw its accuracy "
            f"is {right.mean():.1%}, and always answering {labels[majority]!r} gives "
            f"{majority_share:.1%}. Look at what `check` says of the folder; more "
            "images per class, or another --height and --width, may help."
        )


def _gain_p_value(gains: NDArray[np.float64]) -> float:
    if len(gains) < 2 or np.ptp(gains) == 0:
        return 0.0 if gains.size and gains.min() > 0 else 1.0
    return float(stats.ttest_1samp(gains, 0, alternative="greater").pvalue)
