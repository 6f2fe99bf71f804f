"""Masks of 50,000 samples have the documented whole share, correlation, slope and dependence."""

import numpy as np
from scipy.special import expit

from clinical_symile.missingness.mechanisms import SLOPE, draw_hidden, normal_scores
from tests.helpers.simulated_masks import SAMPLES, each_case, near, statistics

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def probabilities(rate: float) -> np.ndarray:
    """The chance to be hidden at the nodes of a standard normal covariate."""
    low, high = -20.0, 20.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if WEIGHTS @ expit(middle + SLOPE * NODES) < rate else (low, middle)
        )
    return expit(low + SLOPE * NODES)


@each_case
def test_missing_completely_at_random_is_independent(columns, rate, rng):
    none = np.zeros((SAMPLES, columns))
    present, rates = np.ones(none.shape, dtype=bool), np.full(columns, rate)
    hidden = draw_hidden(rng.random(none.shape), none, present=present, rates=rates)
    found = statistics(hidden, none)
    assert found.whole_share == near((1 - rate) ** columns)
    assert found.empty_share == near(rate**columns)
    assert all(value == near(0.0) for value in found.correlation.values())
    assert set(found.slope.values()) == {None}


@each_case
def test_missing_at_random_has_its_slope_and_depends_on_the_covariate_alone(columns, rate, rng):
    x = np.repeat(normal_scores(rng.normal(size=SAMPLES))[:, None], columns, axis=1)
    present, rates = np.ones(x.shape, dtype=bool), np.full(columns, rate)
    hidden = draw_hidden(rng.random(x.shape), x, present=present, rates=rates)
    found, p = statistics(hidden, x), probabilities(rate)
    assert found.whole_share == near(WEIGHTS @ (1 - p) ** columns)
    expected = (WEIGHTS @ p**2 - rate**2) / (rate * (1 - rate))
    assert all(value == near(expected) for value in found.correlation.values())
    assert all(value == near(SLOPE) for value in found.slope.values())


@each_case
def test_missing_not_at_random_has_its_slope_and_hides_independently(columns, rate, rng):
    x = np.stack([normal_scores(rng.normal(size=SAMPLES)) for _ in range(columns)], axis=1)
    present, rates = np.ones(x.shape, dtype=bool), np.full(columns, rate)
    hidden = draw_hidden(rng.random(x.shape), x, present=present, rates=rates)
    found = statistics(hidden, x)
    assert found.whole_share == near((1 - rate) ** columns)
    assert all(value == near(0.0) for value in found.correlation.values())
    assert all(value == near(SLOPE) for value in found.slope.values())


@each_case
def test_an_outcome_changes_the_chance_to_be_hidden_as_documented(columns, rate, rng):
    outcome = (rng.random(SAMPLES) < 0.2).astype(float)
    one = (outcome - outcome.mean()) / outcome.std()
    x = np.repeat(one[:, None], columns, axis=1)
    present, rates = np.ones(x.shape, dtype=bool), np.full(columns, rate)
    hidden = draw_hidden(rng.random(x.shape), x, present=present, rates=rates)
    low, high = -20.0, 20.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if expit(middle + SLOPE * one).mean() < rate else (low, middle)
    for label in (0, 1):
        expected = expit(low + SLOPE * one[outcome == label][0])
        assert all(share == near(expected) for share in hidden[outcome == label].mean(axis=0))
