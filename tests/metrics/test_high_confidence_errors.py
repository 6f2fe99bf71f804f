import numpy as np
import pytest

from clinical_symile.metrics.high_confidence_errors import (
    confidence,
    high_confidence_error_gap,
    is_correct,
)


def test_right_and_sure_by_hand():
    label, probability = np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.5, 0.5])
    assert is_correct(label, probability).tolist() == [1, 0, 0.5, 0.5]
    assert confidence(probability) == pytest.approx([0.9, 0.8, 0.5, 0.5])


def test_a_model_that_tells_how_little_it_knows_is_not_silent(rng):
    """Well calibrated before and after: accuracy and confidence fall alike."""
    log_odds = rng.normal(0, 2, (2, 200_000))
    label = (rng.random(200_000) < 1 / (1 + np.exp(-log_odds.sum(axis=0)))).astype(int)
    whole = 1 / (1 + np.exp(-log_odds.sum(axis=0)))
    bins = np.digitize(log_odds[0], np.linspace(-6, 6, 121))
    known = np.array([label[bins == b].mean() if (bins == b).any() else 0.5 for b in range(122)])
    falls = high_confidence_error_gap(label, known[bins], whole).mean(axis=0)
    assert falls[0] > 0.05
    assert falls[0] == pytest.approx(falls[1], abs=0.01)


def test_a_model_that_is_as_sure_as_before_is_silent(rng):
    label = rng.integers(2, size=1000)
    whole = np.where(label == 1, 0.9, 0.1)
    guess = rng.permutation(whole)
    wrong, unsure, silent = high_confidence_error_gap(label, guess, whole).mean(axis=0)
    assert wrong == pytest.approx(0.5, abs=0.05)
    assert unsure == pytest.approx(0, abs=1e-12)
    assert silent == pytest.approx(wrong)
