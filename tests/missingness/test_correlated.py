"""Modalities are hidden together as often as the correlation says, up to its limit."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import kstest

from clinical_symile.missingness.correlated import correlate, largest_correlation
from clinical_symile.missingness.mechanisms import draw_hidden
from tests.helpers.simulated_masks import SAMPLES, each_case, near, statistics


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


def test_without_a_correlation_and_at_rate_zero_draws_stay_as_they_are(rng):
    draws = rng.random((50, 3))
    rates = np.array([0.3, 0.0, 0.5])
    assert correlate(draws, rates, 0.0) == pytest.approx(draws, abs=1e-12)
    assert (correlate(draws, rates, 0.4)[:, 1] == draws[:, 1]).all()


def test_two_modalities_of_one_rate_may_correlate_perfectly_to_a_percent():
    assert largest_correlation(np.array([0.3, 0.3])) == 0.99
    # Variables of 0 and 1 with means 0.5 and 0.2: at most sqrt(0.2 · 0.5 / (0.5 · 0.8)) = 0.5.
    assert largest_correlation(np.array([0.5, 0.2])) == pytest.approx(0.5, abs=0.0101)


def test_correlated_draws_are_uniform(rng):
    made = correlate(rng.random((20_000, 2)), np.array([0.3, 0.3]), 0.6)
    for column in made.T:
        assert kstest(column, "uniform").pvalue > 0.001
