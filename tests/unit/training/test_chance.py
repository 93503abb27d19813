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


def test_a_model_that_answers_the_frequencies_is_refused():
    truth = [0] * 57 + [1] * 43
    with pytest.raises(NotLearning, match="57.0%.*'majority'"):
        judged(truth, np.tile([0.57, 0.43], (100, 1)), [0.57, 0.43])


def test_a_model_that_answers_at_random_is_refused():
    random = np.random.default_rng(3)
    truth = random.integers(0, 4, 200).tolist()
    with pytest.raises(NotLearning):
        judged(truth, random.dirichlet(np.ones(4), 200), [0.25] * 4)


def test_a_good_model_passes():
    truth = [0, 1] * 20
    judged(truth, confident(truth, 2), [0.5, 0.5])


def test_a_rare_class_with_few_images_passes_by_its_probabilities():
    truth = [0] * 22 + [1] * 3
    judged(truth, confident(truth, 2), [0.9, 0.1])


def test_a_hundred_classes_with_three_images_each_pass_when_half_are_right():
    truth = list(range(100)) * 3
    guesses = confident(truth, 100)
    guesses[::2] = 0.01
    judged(truth, guesses, [0.01] * 100)


def test_the_majority_answered_with_certainty_is_refused():
    truth = [0] * 90 + [1] * 10
    with pytest.raises(NotLearning):
        judged(truth, confident([0] * 100, 2), [0.9, 0.1])
