"""What much simpler models reach on the same images: the least that a network must be worth."""

import warnings

import numpy as np
from numpy.typing import NDArray

from training.data.inputs import Inputs
from training.learn.task import Floats

COMMONEST, LOGISTIC, PERCEPTRON = (
    "the commonest class of training",
    "logistic regression on thumbnails",
    "a small perceptron on thumbnails",
)
_MOST_IMAGES = 4_000
_HIDDEN = 128
_ITERATIONS = 40


def baselines(train: Inputs, test: Inputs, labels: int, seed: int) -> dict[str, Floats]:
    """Return the probabilities of simpler models for `test`, (N, labels) by name.

    Args:
        train: thumbnails to learn from; 4,000 of them at most are used.
        test: thumbnails of the same size.
        labels: number of classes.
        seed: of the sample and of the perceptron.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    chosen = np.sort(np.random.default_rng(seed).permutation(len(train))[:_MOST_IMAGES])
    pixels = train.read(chosen)
    mean, spread = pixels.mean(axis=0), max(float(pixels.std()), 1.0)
    truth = train.truth[chosen]

    def features(images: Floats) -> Floats:
        return np.asarray((images - mean).reshape(len(images), -1) / np.float32(spread))

    shares = np.bincount(train.truth, minlength=labels) / len(train)
    found = {COMMONEST: np.tile(shares.astype(np.float32), (len(test), 1))}
    learners = {
        LOGISTIC: LogisticRegression(C=0.01, max_iter=200),
        PERCEPTRON: MLPClassifier((_HIDDEN,), max_iter=_ITERATIONS, random_state=seed),
    }
    asked = features(test.everything())
    with threadpool_limits(1), warnings.catch_warnings():
        # Where they were stopped is good enough to compare with.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for name, learner in learners.items():
            learner.fit(features(pixels), truth)
            found[name] = _by_label(learner.predict_proba(asked), learner.classes_, labels)
    return found


def _by_label(
    probabilities: NDArray[np.float64], classes: NDArray[np.int64], labels: int
) -> Floats:
    """Return (N, labels); a label that the sample did not hold gets probability 0."""
    every = np.zeros((len(probabilities), labels), np.float32)
    every[:, classes] = probabilities
    return every
