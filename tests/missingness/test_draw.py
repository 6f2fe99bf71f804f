"""A pattern's mask is drawn from names and seed, at its rates and under its rule."""

import numpy as np
import pytest

from clinical_symile.missingness.at_least_one import UnreachableError
from clinical_symile.missingness.draw import draw_pattern
from clinical_symile.missingness.mechanisms import SLOPE, normal_scores, uniforms
from clinical_symile.missingness.patterns import parse_pattern

SAMPLES = [f"admission {n}" for n in range(20_000)]
MODALITIES = ["ecg", "labs"]
NONE = np.zeros((len(SAMPLES), 2))
ALL = np.ones(NONE.shape, dtype=bool)


def _drawn(text: str, *, covariates=NONE, present=ALL, samples=SAMPLES, seed: int = 0):
    return draw_pattern(parse_pattern(text), samples, MODALITIES, covariates, present, seed=seed)


def test_the_lowest_draws_of_a_modality_are_hidden_up_to_its_rate():
    samples = SAMPLES[:10]
    draws = uniforms(3, samples, MODALITIES)
    hidden = _drawn("mcar-30", covariates=NONE[:10], present=ALL[:10], samples=samples, seed=3)
    for column in range(2):
        lowest = sorted(range(10), key=lambda row, column=column: draws[row, column])[:3]
        assert np.flatnonzero(hidden[:, column]).tolist() == sorted(lowest)


def test_each_modality_has_its_own_rate_and_others_lose_nothing():
    hidden = _drawn("mcar-labs-40")
    assert hidden.mean(axis=0) == pytest.approx([0.0, 0.4], abs=1e-4)


def test_what_is_not_present_is_not_hidden_and_the_rate_is_that_of_the_present():
    present = ALL.copy()
    present[::4, 0] = False
    hidden = _drawn("mcar-30", present=present)
    assert not hidden[::4, 0].any()
    assert hidden[present[:, 0], 0].mean() == pytest.approx(0.3, abs=1e-4)


def test_a_mask_depends_on_names_and_seed_and_not_on_the_order_of_samples():
    whole, backwards = _drawn("mcar-50"), _drawn("mcar-50", samples=SAMPLES[::-1])
    np.testing.assert_array_equal(whole, backwards[::-1])
    assert (whole != _drawn("mcar-50", seed=1)).mean() == pytest.approx(0.5, abs=0.02)


def test_a_higher_rate_hides_all_that_a_lower_one_hides():
    assert not (_drawn("mcar-30") & ~_drawn("mcar-50")).any()


def test_correlated_modalities_are_hidden_together_at_their_rates():
    hidden = _drawn("mcar-30-corr-60")
    assert hidden.mean(axis=0) == pytest.approx([0.3, 0.3], abs=1e-4)
    assert np.corrcoef(hidden.T)[0, 1] == pytest.approx(0.6, abs=0.03)
    assert np.corrcoef(_drawn("mcar-30").T)[0, 1] == pytest.approx(0.0, abs=0.03)


def test_every_sample_keeps_a_modality_under_the_rule():
    assert _drawn("mcar-40").all(axis=1).mean() == pytest.approx(0.16, abs=0.01)
    hidden = _drawn("mcar-40@at-least-one")
    assert not hidden.all(axis=1).any()
    assert hidden.mean(axis=0) == pytest.approx([0.4, 0.4], abs=0.002)


def test_a_modality_that_is_never_hidden_makes_the_rule_superfluous():
    plain, ruled = _drawn("mcar-labs-40"), _drawn("mcar-labs-40@at-least-one")
    np.testing.assert_array_equal(plain, ruled)


def test_the_odds_of_hiding_grow_with_the_covariate(rng):
    x = normal_scores(rng.normal(size=len(SAMPLES)))
    hidden = _drawn("mar-age-30", covariates=np.stack([x, x], axis=1))
    assert hidden.mean(axis=0) == pytest.approx([0.3, 0.3], abs=1e-4)
    # With log odds a + SLOPE x, two narrow bands of x one apart differ by SLOPE.
    for column in hidden.T:
        low, high = (column[np.abs(x - at) < 0.1].mean() for at in (-0.5, 0.5))
        odds = np.log(high / (1 - high)) - np.log(low / (1 - low))
        assert odds == pytest.approx(SLOPE, abs=0.35)


def test_rates_that_the_rule_does_not_allow_are_refused_with_the_range(rng):
    x = normal_scores(rng.normal(size=len(SAMPLES)))
    with pytest.raises(UnreachableError, match="reachable are rates up to"):
        _drawn("mar-age-50@at-least-one", covariates=np.stack([x, x], axis=1))
