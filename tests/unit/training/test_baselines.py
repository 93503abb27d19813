"""Much simpler models on the same images."""

import numpy as np
import pytest
from class_folders import striped

from training.data.inputs import Inputs
from training.learn import baselines as module
from training.learn.baselines import COMMONEST, LOGISTIC, PERCEPTRON, baselines


def bright(count: int, seed: int, labels: int = 3) -> Inputs:
    """Return stripes that stand out by their brightness too, as every label of its own."""
    random = np.random.default_rng(seed)
    truth = random.choice(labels, count, p=np.array([0.6, *[0.4 / (labels - 1)] * (labels - 1)]))
    pixels = np.stack([striped(int(k) % 3, random) * 0.5 + 40 * k for k in truth])
    return Inputs(truth.astype(np.int64), pixels.astype(np.float32).__getitem__)


def test_they_learn_what_is_easy_and_give_probabilities():
    test = bright(80, seed=2)
    found = baselines(bright(200, seed=1), test, 3, seed=0)

    assert list(found) == [COMMONEST, LOGISTIC, PERCEPTRON]
    for probabilities in found.values():
        assert probabilities.shape == (80, 3)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    right = {name: (p.argmax(axis=1) == test.truth).mean() for name, p in found.items()}
    assert right[COMMONEST] == (test.truth == 0).mean()
    assert min(right[LOGISTIC], right[PERCEPTRON]) > 0.9


def test_the_seed_decides_them():
    one, again = (baselines(bright(60, 1), bright(9, 2), 3, seed=5) for _ in range(2))
    assert all((one[name] == again[name]).all() for name in one)


def test_no_more_than_a_sample_is_learned_from_and_nobody_is_warned_of_that(monkeypatch):
    """The perceptron need not converge: scikit-learn's warning would only puzzle the user."""
    monkeypatch.setattr(module, "_MOST_IMAGES", 20)
    train, reads = bright(400, 1), list[int]()
    meaningless = np.random.default_rng(0).integers(0, 3, 400)

    def read(chosen: np.ndarray) -> np.ndarray:
        reads.append(len(chosen))
        return train.read(chosen)

    baselines(Inputs(meaningless, read), bright(9, 2), 3, seed=0)
    assert sum(reads) == 20


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_a_label_that_the_sample_lacks_gets_no_probability(monkeypatch):
    monkeypatch.setattr(module, "_MOST_IMAGES", 20)
    train = Inputs(np.arange(400) % 2 + 2 * (np.arange(400) == 7), bright(400, 1).read)
    found = baselines(train, bright(9, 2), 4, seed=0)

    assert (found[LOGISTIC][:, 3] == 0).all()
    assert found[COMMONEST][0, 3] == pytest.approx(1 / 400)
