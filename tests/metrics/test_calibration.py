import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from clinical_symile.metrics.calibration import (
    calibration_in_the_large,
    curve_bins,
    decomposition,
    recalibrate,
    slope_and_intercept,
)
from clinical_symile.metrics.classification import auroc, brier


def predicted(rng, n=400, *, slope=1.0, intercept=0.0):
    """Labels, and probabilities whose log odds must be so stretched and moved to be right."""
    log_odds = rng.normal(0, 1.5, n)
    label = (rng.random(n) < expit(intercept + slope * log_odds)).astype(int)
    return label, expit(log_odds)


def fitted(label, probability, weights=None):
    design = sm.add_constant(logit(probability))
    model = sm.GLM(label, design, family=sm.families.Binomial(), freq_weights=weights)
    intercept, slope = model.fit(tol=1e-12).params
    return slope, intercept


def test_slope_and_intercept_are_those_of_statsmodels(rng):
    for slope in (0.3, 1.0, 2.5):
        label, probability = predicted(rng, slope=slope, intercept=0.5)
        found = slope_and_intercept(np.ones((1, 400)), label, probability)[0]
        assert found == pytest.approx(fitted(label, probability), abs=1e-7)


def test_weights_count_samples_as_often(rng):
    label, probability = predicted(rng, 120)
    weights = rng.integers(4, size=(6, 120))
    found = slope_and_intercept(weights, label, probability)
    for row, both in zip(weights, found, strict=True):
        drawn = np.repeat(np.arange(120), row)
        assert both == pytest.approx(fitted(label[drawn], probability[drawn]), abs=1e-7)


def test_fits_of_many_resamples_are_those_of_newtons_method(rng):
    label, probability = predicted(rng, 8000, slope=0.7, intercept=-1.5)
    weights = rng.multinomial(8000, np.full(8000, 1 / 8000), size=20)
    together = slope_and_intercept(weights, label, probability)
    for row, both in zip(weights, together, strict=True):
        alone = slope_and_intercept(row[None, :], label, probability)[0]
        assert both == pytest.approx(alone, abs=1e-7)


def test_what_has_no_slope_is_nan(rng):
    label, probability = predicted(rng, 50)
    one = np.ones((1, 50))
    assert np.isnan(slope_and_intercept(one, np.ones(50, int), probability)).all()
    assert np.isnan(slope_and_intercept(one, label, np.full(50, 0.3))).all()
    separated = np.sort(probability), (np.arange(50) > 20).astype(int)
    assert np.isnan(slope_and_intercept(one, separated[1], separated[0])).all()


def test_certain_predictions_do_not_break_the_slope(rng):
    label, probability = predicted(rng, 300)
    probability[:2], label[:2] = [0.0, 1.0], [1, 0]
    slope, _ = slope_and_intercept(np.ones((1, 300)), label, probability)[0]
    assert 0 < slope < 1


def test_true_probabilities_have_slope_1_and_intercept_0(rng):
    label, probability = predicted(rng, 100_000)
    found = slope_and_intercept(np.ones((1, 100_000)), label, probability)[0]
    assert found == pytest.approx([1, 0], abs=0.03)
    assert calibration_in_the_large(np.ones((1, 100_000)), label, probability)[0] == pytest.approx(
        0, abs=0.005
    )


def test_recalibration_mends_what_was_stretched_and_keeps_the_order(rng):
    tuning = predicted(rng, 4000, slope=0.4, intercept=-1)
    label, probability = predicted(rng, 4000, slope=0.4, intercept=-1)
    mended = recalibrate(*tuning, other=probability)
    found = slope_and_intercept(np.ones((1, 4000)), label, mended)[0]
    assert found == pytest.approx([1, 0], abs=0.15)
    assert brier(label, mended) < brier(label, probability) - 0.02
    assert auroc(label, mended) == pytest.approx(auroc(label, probability), abs=1e-12)


def test_recalibration_needs_both_classes(rng):
    with pytest.raises(ValueError, match="cannot be recalibrated on samples of one class"):
        recalibrate(np.ones(9, int), rng.random(9), other=rng.random(3))


def test_the_parts_of_the_brier_score_add_up_to_it(rng):
    for _ in range(100):
        n = int(rng.integers(2, 60))
        label = rng.integers(2, size=n)
        probability = rng.integers(int(rng.integers(1, 12)) + 1, size=n) / 12
        parts = decomposition(label, probability)
        total = parts.miscalibration - parts.discrimination + parts.uncertainty
        assert total == pytest.approx(brier(label, probability), abs=1e-12)
        assert parts.miscalibration >= -1e-12
        assert parts.discrimination >= -1e-12
        mended = IsotonicRegression().fit(probability, label).predict(probability)
        lost = brier(label, probability) - ((mended - label) ** 2).mean()
        assert parts.miscalibration == pytest.approx(lost, abs=1e-9)


def test_the_parts_by_hand():
    # p = 0.1, 0.1, 0.9, 0.9 and y = 0, 1, 1, 1: recalibrated 1/2, 1/2, 1, 1.
    parts = decomposition(np.array([0, 1, 1, 1]), np.array([0.1, 0.1, 0.9, 0.9]))
    score, mended, base = (0.01 + 0.81 + 0.01 + 0.01) / 4, (0.25 + 0.25) / 4, 3 / 16
    assert parts == pytest.approx((score - mended, base - mended, base))


def test_bins_of_a_curve_are_of_equal_size_and_keep_ties_together(rng):
    assert np.bincount(curve_bins(rng.random(1000))).tolist() == [100] * 10
    tied = np.repeat([0.1, 0.5, 0.9], [50, 30, 20])
    bins = curve_bins(tied)
    assert len(set(zip(bins.tolist(), tied.tolist(), strict=True))) == 3
    assert curve_bins(np.array([0.3])).tolist() == [0]
