import numpy as np
import pytest

from clinical_symile.stats.proportions import mean_estimate, paired_difference


def test_none_of_six_has_an_interval_with_a_width():
    interval = mean_estimate(np.zeros(6), np.arange(6)).interval()
    assert interval.value == interval.low == 0
    assert 0.3 < interval.high < 0.6


def test_copies_of_a_sample_are_no_more_evidence(rng: np.random.Generator):
    values = (rng.random(40) < 0.8).astype(float)
    alone = mean_estimate(values, np.arange(40)).interval()
    copied = mean_estimate(np.repeat(values, 5), np.repeat(np.arange(40), 5)).interval()
    assert copied[1:3] == pytest.approx(alone[1:3], abs=0.01)


def test_the_p_value_is_the_level_at_which_the_interval_reaches_the_null():
    estimate = mean_estimate((np.arange(40) < 30).astype(float), np.arange(40))
    low = estimate.interval().low
    assert estimate.p_value(low) == pytest.approx(0.05, abs=1e-3)


def test_a_paired_difference_is_bonett_and_prices(rng: np.random.Generator):
    values = rng.choice([-1.0, 0.0, 1.0], 30, p=[0.1, 0.6, 0.3])
    found = paired_difference(values, np.arange(30))
    p, q = ((values > 0).sum() + 1) / 32, ((values < 0).sum() + 1) / 32
    assert found.centre == pytest.approx(p - q)
    # Bonett and Price divide by n + 2; here the variance is unbiased.
    error = np.sqrt((p + q - (p - q) ** 2) / 31)
    assert found.standard_error == pytest.approx(error, rel=1e-6)


def test_equal_runs_have_no_interval_of_their_difference():
    with pytest.raises(ValueError, match="say nothing of its variation"):
        paired_difference(np.zeros(20), np.arange(20))
