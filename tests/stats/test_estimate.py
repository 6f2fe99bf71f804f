import math

import numpy as np
import pytest
from scipy.stats import norm, t

from clinical_symile.stats.estimate import Estimate, StudentEstimate, shift, smaller, weighted_sum


def _normal(value: float, error: float, *, is_preferred: bool = False) -> Estimate:
    """The estimate of a normal variable with a known standard error."""
    return Estimate(value, lambda z: (value - z * error, value + z * error), "normal", is_preferred)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
def test_an_interval_is_between_the_limits_of_its_level(level: float):
    low, high = norm.interval(level, loc=2.0, scale=0.5)
    interval = _normal(2.0, 0.5).interval(level)
    assert interval[:3] == pytest.approx((2.0, low, high))
    assert interval.kind == "normal"


@pytest.mark.parametrize("null", [2.0, 1.7, 2.3, 0.0, 4.1])
def test_the_p_value_is_the_level_at_which_the_interval_reaches_the_null(null: float):
    expected = 2 * norm.sf(abs(2.0 - null) / 0.5)
    assert _normal(2.0, 0.5).p_value(null) == pytest.approx(expected, abs=1e-6)


def test_a_null_further_than_eight_errors_has_the_p_value_of_eight():
    assert _normal(1.0, 0.1).p_value(0.0) == pytest.approx(2 * norm.sf(8.0))


def test_limits_that_reach_the_null_at_every_level_are_no_evidence():
    estimate = Estimate(0.3, lambda z: (np.full_like(z, -1.0), np.full_like(z, 1.0)), "all", True)
    assert estimate.p_value(0.0) == 1.0


def test_a_difference_of_independent_normal_estimates_has_the_error_of_both():
    found = weighted_sum(_normal(3.0, 0.3), _normal(1.0, 0.4))
    assert found.interval()[:3] == pytest.approx((2.0, 2.0 - 1.959964 * 0.5, 2.0 + 1.959964 * 0.5))


@pytest.mark.parametrize("correlation", [-0.5, 0.0, 0.8])
@pytest.mark.parametrize("weights", [(1.0, -1.0), (0.5, 0.5), (-2.0, 1.0)])
def test_a_weighted_sum_of_normal_estimates_has_the_variance_of_the_sum(
    weights: tuple[float, float], correlation: float
):
    a, b = weights
    found = weighted_sum(
        _normal(3.0, 0.3), _normal(1.0, 0.4), weights=weights, correlation=correlation
    )
    variance = (a * 0.3) ** 2 + (b * 0.4) ** 2 + 2 * a * b * correlation * 0.3 * 0.4
    low, high = norm.interval(0.95, loc=3 * a + b, scale=math.sqrt(variance))
    assert found.interval()[:3] == pytest.approx((3 * a + b, low, high))


def test_limits_of_a_difference_lean_as_those_of_its_parts_do():
    # Zou and Donner: the lower limit takes the lower distance of the first and the upper of the
    # other, the upper limit the reverse.
    one = Estimate(0.9, lambda z: (0.9 - 0.2 * z, 0.9 + 0.05 * z), "one", True)
    other = Estimate(0.2, lambda z: (0.2 - 0.1 * z, 0.2 + 0.3 * z), "other", False)
    low, high = weighted_sum(one, other).limits(np.array([1.0]))
    assert low[0] == pytest.approx(0.7 - math.hypot(0.2, 0.3))
    assert high[0] == pytest.approx(0.7 + math.hypot(0.05, 0.1))


def test_a_combination_is_preferred_if_one_of_its_parts_is():
    few, many = _normal(1.0, 0.1, is_preferred=True), _normal(1.0, 0.1)
    assert weighted_sum(few, many).is_preferred
    assert smaller(many, few).is_preferred
    assert not weighted_sum(many, many).is_preferred
    assert shift(few, 1.0).is_preferred


def test_a_constant_moves_the_value_and_both_limits():
    assert shift(_normal(1.0, 0.5), 2.0).interval()[:3] == _normal(3.0, 0.5).interval()[:3]


def test_the_smaller_of_two_has_limits_that_hold_whichever_it_is():
    interval = smaller(_normal(1.0, 0.1), _normal(1.2, 0.5)).interval()
    assert interval.value == 1.0
    assert interval.low == pytest.approx(1.2 - 1.959964 * 0.5)
    assert interval.high == pytest.approx(1.0 + 1.959964 * 0.1)


def test_a_difference_of_few_subjects_has_students_limits_around_its_centre():
    made = StudentEstimate(0.5, 0.4, 0.1, 6.0, "Student", True)
    low, high = t.interval(0.95, 6, loc=0.4, scale=0.1)
    assert made.interval()[:3] == pytest.approx((0.5, low, high))
    assert made.p_value(0.2) == pytest.approx(2 * t.sf(2.0, 6))


def test_a_difference_goes_no_further_than_it_can():
    made = StudentEstimate(0.9, 0.9, 0.5, 3.0, "Student", True, reach=1.0)
    assert made.interval().high == 1.0
    assert made.interval(0.9999).low == -1.0
