"""Masks of 50,000 samples have the documented whole share, correlation, slope and dependence."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy.special import expit

from clinical_symile.missingness.at_least_one import UnreachableError, draw_at_least_one
from clinical_symile.missingness.correlated import correlate, largest_correlation
from clinical_symile.missingness.mask_statistics import mask_statistics
from clinical_symile.missingness.mechanisms import SLOPE, draw_hidden, normal_scores

SAMPLES = 50_000
SIZES, RATES = (2, 3, 4), (0.1, 0.3, 0.5, 0.7)
each_case = pytest.mark.parametrize(("columns", "rate"), list(product(SIZES, RATES)))
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def near(value: float):
    """Within the larger of 2 points and 10 %."""
    return pytest.approx(value, abs=max(0.02, 0.1 * abs(value)))


def statistics(hidden, covariates):
    present = np.ones(hidden.shape, dtype=bool)
    names = "abcd"[: hidden.shape[1]]
    return mask_statistics(names, present, ~hidden, covariates)


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


@each_case
@pytest.mark.parametrize("correlation", [0.2, 0.6])
def test_correlated_hiding_has_its_rate_and_its_correlation(columns, rate, correlation, rng):
    none, rates = np.zeros((SAMPLES, columns)), np.full(columns, rate)
    draws = correlate(rng.random(none.shape), rates, correlation)
    hidden = draw_hidden(draws, none, present=np.ones(none.shape, dtype=bool), rates=rates)
    assert hidden.mean(axis=0) == pytest.approx(rate, abs=1e-4)
    found = statistics(hidden, none).correlation.values()
    assert all(value == near(correlation) for value in found)


def test_different_rates_correlate_up_to_their_limit(rng):
    rates = np.array([0.5, 0.2, 0.3])
    largest = largest_correlation(rates)
    for first, second in combinations(rates, 2):
        low, high = min(first, second), max(first, second)
        assert largest <= np.sqrt(low * (1 - high) / (high * (1 - low))) + 1e-9
    none = np.zeros((SAMPLES, 3))
    draws = correlate(rng.random(none.shape), rates, largest)
    hidden = draw_hidden(draws, none, present=np.ones(none.shape, dtype=bool), rates=rates)
    assert all(value == near(largest) for value in statistics(hidden, none).correlation.values())
    with pytest.raises(ValueError, match=r"do not allow a correlation of 0\.9"):
        correlate(rng.random(none.shape), rates, 0.9)


@each_case
def test_at_least_one_keeps_one_at_the_rate_or_says_what_is_reachable(columns, rate, rng):
    none, rates = np.zeros((SAMPLES, columns)), np.full(columns, rate)
    kept = rng.random(none.shape)
    if rate > 1 - 1 / columns:
        with pytest.raises(UnreachableError, match="reachable are rates up to"):
            draw_at_least_one(rng.random(none.shape), kept, none, rates=rates)
        return
    hidden = draw_at_least_one(rng.random(none.shape), kept, none, rates=rates)
    low, high = 0.0, 1.0  # one of `columns` coins stays: rate = p - p^columns / columns
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if middle - middle**columns / columns < rate else (low, middle)
    assert not hidden.all(axis=1).any()
    assert hidden.mean(axis=0) == pytest.approx(rate, abs=0.002)
    assert statistics(hidden, none).whole_share == near((1 - low) ** columns)


@pytest.mark.parametrize(("shared", "rate"), [(True, 0.2), (False, 0.3)])
@pytest.mark.parametrize("columns", [2, 3])
def test_at_least_one_has_the_usual_slope(columns, shared, rate, rng):
    x = np.stack([normal_scores(rng.normal(size=SAMPLES)) for _ in range(columns)], axis=1)
    x = np.repeat(x[:, :1], columns, axis=1) if shared else x
    rates = np.full(columns, rate)
    hidden = draw_at_least_one(rng.random(x.shape), rng.random(x.shape), x, rates=rates)
    found = statistics(hidden, x)
    assert found.empty_share == 0
    assert hidden.mean(axis=0) == pytest.approx(rate, abs=0.002)
    assert all(value == near(SLOPE) for value in found.slope.values())


def test_a_slope_that_the_rule_does_not_allow_is_refused_with_the_range(rng):
    x = np.repeat(normal_scores(rng.normal(size=SAMPLES))[:, None], 2, axis=1)
    with pytest.raises(UnreachableError, match=r"reachable are rates up to 2[345] %"):
        draw_at_least_one(rng.random(x.shape), rng.random(x.shape), x, rates=np.array([0.5, 0.5]))
