import numpy as np
import pytest

from training.errors import NotLearning
from training.judge.chance import refuse_chance


def judged(truth: list[int], probabilities: np.ndarray, frequencies: list[float]) -> None:
    labels = ["majority", *map(str, range(1, len(frequencies)))]
    refuse_chance(np.array(truth), probabilities.astype(np.float32), np.array(frequencies), labels)


def confident(truth: list[int], labels: int, certainty: float = 0.95) -> np.ndarray:
    rest = (1 - certainty) / (labels - 1)
    return np.where(np.arange(labels) == np.array(truth)[:, None], certainty, rest)


HALVES, HUNDRED = [0, 1] * 20, list(range(100)) * 3
FEW = [0] * 22 + [1] * 3  # accuracy alone has no power, the probabilities do
HALF_RIGHT = confident(HUNDRED, 100)
HALF_RIGHT[::2] = 0.01


@pytest.mark.parametrize(
    ("truth", "probabilities", "frequencies"),
    [
        (HALVES, confident(HALVES, 2), [0.5, 0.5]),
        (FEW, confident(FEW, 2), [0.9, 0.1]),
        (HUNDRED, HALF_RIGHT, [0.01] * 100),
    ],
    ids=["two", "a rare class with few images", "a hundred classes with three images each"],
)
def test_a_model_that_learned_passes(truth, probabilities, frequencies):
    judged(truth, probabilities, frequencies)


RANDOM = np.random.default_rng(3)
FOUR = RANDOM.integers(0, 4, 200).tolist()
MOST = [0] * 90 + [1] * 10


@pytest.mark.parametrize(
    ("truth", "probabilities", "frequencies", "words"),
    [
        ([0] * 57 + [1] * 43, np.tile([0.57, 0.43], (100, 1)), [0.57, 0.43], "57.0%.*'majority'"),
        (FOUR, RANDOM.dirichlet(np.ones(4), 200), [0.25] * 4, "not learning"),
        (MOST, confident([0] * 100, 2), [0.9, 0.1], "90.0%"),
    ],
    ids=["answers the frequencies", "answers at random", "is sure of the majority"],
)
def test_a_model_that_knows_nothing_is_refused(truth, probabilities, frequencies, words):
    with pytest.raises(NotLearning, match=words):
        judged(truth, probabilities, frequencies)
