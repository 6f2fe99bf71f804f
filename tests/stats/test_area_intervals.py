import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from clinical_symile.metrics.classification import auroc
from clinical_symile.stats.area_intervals import (
    AreaMoments,
    area_difference,
    auroc_estimate,
    difference_limits,
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


def _exact(area: float, m: int, n: int) -> AreaMoments:
    """Moments of an area without clusters, whose variance is that of the model."""
    many, small = np.array([1e9]), np.array([1e-6])
    return AreaMoments(np.array([area]), small, small, np.array([m]), np.array([n]), many, many)


def _model_variance(area: float, m: int, n: int) -> float:
    normal = multivariate_normal(mean=[0, 0], cov=[[1, 0.5], [0.5, 1]])  # pyright: ignore[reportArgumentType]
    both = normal.cdf(np.repeat(norm.ppf(area), 2))
    return (area * (1 - area) + (m + n - 2) * (both - area**2)) / (m * n)


def test_limits_of_a_difference_solve_the_score_equation_at_the_nearest_areas():
    (a, m, n), (b, k, j), z = (0.9, 20, 80), (0.7, 40, 60), 1.96
    precision = [
        1 / _model_variance((area * rarer + 2) / (rarer + 4), *size)
        for area, rarer, size in ((a, 20, (m, n)), (b, 40, (k, j)))
    ]
    for gap in np.concatenate(difference_limits(_exact(a, m, n), _exact(b, k, j), np.array([z])))[
        :, 0
    ]:
        first = (precision[0] * a + precision[1] * (b + gap)) / sum(precision)
        variance = _model_variance(first, m, n) + _model_variance(first - gap, k, j)
        assert abs(a - b - gap) == pytest.approx(z * np.sqrt(variance), rel=1e-4)


def test_the_p_value_of_a_gap_is_that_of_one_common_area(rng: np.random.Generator):
    estimates = []
    for people, shift in ((80, 1.0), (120, 2.0)):
        label = np.arange(people) % 4 == 0
        scores = rng.normal(size=people) + shift * label
        estimates.append(auroc_estimate(label.astype(int), scores, np.arange(people)))
    found = area_difference(*estimates)
    low, high = found.interval()[1:3]
    assert low < found.value == estimates[0].value - estimates[1].value < high
    assert (found.p_value() < 0.05) == (not low <= 0 <= high)
    swapped = area_difference(*estimates[::-1])
    assert swapped.p_value() == pytest.approx(found.p_value())
    assert swapped.interval()[1:3] == pytest.approx((-high, -low))


def test_two_perfect_areas_differ_by_an_interval_with_a_width_around_0():
    label = np.repeat([0, 1], [20, 10])
    one = auroc_estimate(label, label.astype(float), np.arange(30))
    found = area_difference(one, one)
    assert found.value == 0
    assert found.p_value() == 1
    low, high = found.interval()[1:3]
    assert -0.5 < low < 0 < high < 0.5


def test_areas_that_share_subjects_differ_by_less(rng: np.random.Generator):
    label, scores = np.arange(60) % 3 == 0, rng.normal(size=60)
    one = auroc_estimate(label.astype(int), scores, np.arange(60))
    other = auroc_estimate(label.astype(int), scores + label, np.arange(60))
    alone = area_difference(one, other).interval()
    together = area_difference(one, other, correlation=0.5).interval()
    assert together.high - together.low < alone.high - alone.low
