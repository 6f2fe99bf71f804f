import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from clinical_symile.metrics.classification import auroc
from clinical_symile.stats.area_intervals import (
    AreaMoments,
    auroc_estimate,
    score_limits,
)


def test_a_perfect_area_has_an_interval_with_a_width():
    label = np.repeat([0, 1], [56, 4])
    interval = auroc_estimate(label, label.astype(float), np.arange(60)).interval()
    assert interval.value == interval.high == 1
    assert 0.5 < interval.low < 0.95


def test_the_value_is_the_area_with_ties_half(rng: np.random.Generator):
    label, probability = rng.integers(2, size=50), rng.integers(5, size=50) / 5
    found = auroc_estimate(label, probability, np.arange(50))
    assert found.value == pytest.approx(auroc(label, probability))


def test_one_subject_of_a_class_is_refused():
    label = np.array([1, 1, 0, 0])
    with pytest.raises(ValueError, match="needs 2 of each"):
        auroc_estimate(label, np.arange(4) / 4, np.array([0, 0, 1, 2]))


def test_limits_of_unclustered_samples_solve_the_binormal_score_equation():
    m, n, area, z = 20, 80, 0.9, 1.96
    many, small = np.array([1e9]), np.array([1e-6])  # subjects, and a variance below the model's
    moments = AreaMoments(np.array([area]), small, small, np.array([m]), np.array([n]), many, many)
    normal = multivariate_normal(mean=[0, 0], cov=[[1, 0.5], [0.5, 1]])  # pyright: ignore[reportArgumentType]
    for limit in np.concatenate(score_limits(moments, np.array([z])))[:, 0]:
        both = normal.cdf(np.repeat(norm.ppf(limit), 2))
        variance = (limit * (1 - limit) + (m + n - 2) * (both - limit**2)) / (m * n)
        assert abs(area - limit) == pytest.approx(z * np.sqrt(variance), rel=1e-4)
