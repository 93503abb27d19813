import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.judge.metrics import (
    TEMPERATURE_RANGE,
    accuracy_interval,
    fit_temperature,
    measure,
    reliability,
)

TRUTH = np.array([0, 0, 0, 1, 1])
PROBABILITIES = np.array(
    [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6], [0.6, 0.4]], dtype=np.float32
)


def test_scores_equal_those_computed_by_hand():
    metrics = measure("test", ("a", "b"), TRUTH, PROBABILITIES)
    assert (metrics.split, metrics.images) == ("test", 5)
    assert metrics.confusion == ((2, 1), (1, 1))
    assert metrics.accuracy == pytest.approx(3 / 5)
    assert metrics.balanced_accuracy == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert metrics.majority_share == pytest.approx(3 / 5)
    expected_loss = -sum(math.log(p) for p in (0.9, 0.8, 0.3, 0.6, 0.4)) / 5
    assert metrics.loss == pytest.approx(expected_loss, rel=1e-6)
    a, b = metrics.per_class
    assert (a.label, a.support, b.label, b.support) == ("a", 3, "b", 2)
    assert (a.precision, a.recall, a.f1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert (b.precision, b.recall, b.f1) == pytest.approx((1 / 2, 1 / 2, 1 / 2))


def test_a_label_that_never_occurs_scores_zero_and_leaves_the_balanced_accuracy_alone():
    padded = np.pad(PROBABILITIES, ((0, 0), (0, 1)))
    metrics = measure("test", ("a", "b", "absent"), TRUTH, padded)
    absent = metrics.per_class[2]
    assert (absent.precision, absent.recall, absent.f1, absent.support) == (0, 0, 0, 0)
    assert metrics.balanced_accuracy == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert metrics.confusion == ((2, 1, 0), (1, 1, 0), (0, 0, 0))


def test_one_image_is_enough():
    metrics = measure("test", ("a", "b"), np.array([1]), np.array([[0.25, 0.75]]))
    assert (metrics.accuracy, metrics.balanced_accuracy, metrics.majority_share) == (1, 1, 1)
    assert metrics.ece == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("probabilities", "loss", "ece"),
    [
        ([0.0, 1.0], -math.log(np.finfo(np.float32).eps), 1),  # much, but not infinitely
        ([1 + 1e-6, 0.0], 0, 0),  # a hair above one
    ],
)
def test_certainty_costs_what_it_should(probabilities, loss, ece):
    metrics = measure("test", ("a", "b"), np.array([0]), np.array([probabilities]))
    assert metrics.loss == pytest.approx(loss, abs=0)
    assert metrics.ece == ece


def test_calibration_error_equals_the_one_computed_by_hand():
    # Five equal bins. (0.8, 1]: 0.9 right, twice 1.0 of which one is wrong; (0.4, 0.6]: 0.6 right.
    probabilities = np.array([[0.9, 0.1], [1, 0], [1, 0], [0.6, 0.4]])
    truth = np.array([0, 0, 1, 0])
    upper = abs((0.9 + 1 + 1) / 3 - 2 / 3)
    middle = abs(0.6 - 1)
    grouped = reliability(truth, probabilities, bins=5)
    assert grouped.ece == pytest.approx((3 * upper + middle) / 4)
    assert grouped.count.tolist() == [0, 0, 1, 0, 3]
    assert grouped.accuracy.tolist() == pytest.approx([0, 0, 1, 0, 2 / 3])


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.lists(st.floats(0.001, 1), min_size=3, max_size=3)),
        min_size=1,
        max_size=40,
    )
)
def test_metrics_of_any_predictions_stay_in_their_ranges(rows):
    truth = np.array([label for label, _ in rows])
    weights = np.array([values for _, values in rows])
    metrics = measure("test", ("a", "b", "c"), truth, weights / weights.sum(axis=1, keepdims=True))
    counts = np.array(metrics.confusion)
    assert counts.sum() == len(rows)
    assert metrics.accuracy == pytest.approx(np.trace(counts) / len(rows))
    assert metrics.ece <= 1
    assert metrics.loss >= 0


def _overconfident(images: int, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw labels from softmax(z), return `factor` * z: the right temperature is `factor`."""
    rng = np.random.default_rng(7)
    z = rng.normal(0, 2, (images, 4))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    truth = (p.cumsum(axis=1) < rng.random((images, 1))).sum(axis=1)
    return factor * z, truth


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.5])
def test_temperature_undoes_a_known_distortion(factor):
    assert fit_temperature(*_overconfident(20_000, factor)) == pytest.approx(factor, rel=0.04)


@pytest.mark.parametrize("images", [1, 20, 300, 10_000])
def test_perfect_separation_does_not_drive_the_temperature_to_zero(images):
    truth = np.arange(images) % 2
    logits = 4.0 * np.eye(2)[truth]  # every image is right by the same margin
    temperature = fit_temperature(logits, truth)
    assert 0.3 < temperature < 1
    # More certainty than the number of images supports would be a guess.
    assert images == 1 or 1 / (1 + math.exp(4 / temperature)) > 0.01 / images


def test_a_handful_of_images_barely_moves_the_temperature():
    assert fit_temperature(np.array([[3.0, 0.0]]), np.array([0])) == pytest.approx(1, abs=0.1)
    assert 1 < fit_temperature(np.array([[3.0, 0.0]]), np.array([1])) < 2


def test_images_that_are_all_wrong_soften_without_leaving_the_range():
    low, high = TEMPERATURE_RANGE
    logits = np.tile([[8.0, 0.0]], (500, 1))
    temperature = fit_temperature(logits, np.ones(500, dtype=int))
    assert 5 < temperature <= high
    assert low < temperature


def test_accuracy_interval_is_wilsons():
    # Brown, Cai, DasGupta 2001: centre (k + z²/2) / (n + z²).
    low, high = accuracy_interval(9_940, 10_000)
    assert (low, high) == pytest.approx((0.99229, 0.99533), abs=2e-5)
    assert accuracy_interval(10, 10)[1] == 1
    assert accuracy_interval(10, 10)[0] == pytest.approx(0.7225, abs=1e-4)
