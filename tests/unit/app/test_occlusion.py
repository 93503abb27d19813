"""Log-odds tell how sure a model is, also where its probability is 1 for float32."""

import numpy as np
import pytest

from app.occlusion import log_odds


def softmax(logits: list[list[float]]) -> np.ndarray:
    exponentials = np.exp(np.array(logits) - np.max(logits, axis=1, keepdims=True))
    return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)


def test_log_odds_of_certain_answers_differ_as_their_logits_do():
    probabilities = softmax([[60.0, 0.0, 20.0], [60.0, 0.0, 30.0], [60.0, 0.0, 59.0]])

    assert probabilities[0, 0] == probabilities[1, 0] == 1
    assert log_odds(probabilities.astype(np.float64), 0) == pytest.approx([40, 30, 1], abs=1e-4)
    assert log_odds(probabilities.astype(np.float64), 2) == pytest.approx([-40, -30, -1], abs=1e-4)


def test_log_odds_are_finite_where_float32_ends():
    odds = log_odds(np.array([[1.0, 0.0], [0.0, 1.0]]), 0)

    assert np.isfinite(odds).all()
    assert odds[0] > 80 > -80 > odds[1]
