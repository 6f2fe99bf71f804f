import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.power import normal_power, normal_sample_size_one_tail
from statsmodels.stats.weightstats import ztost

from clinical_symile.stats.equivalence import (
    margin_by_limits,
    minimum_detectable,
    noninferiority_by_limits,
    noninferiority_test,
    smallest_margin,
    subjects_for_margin,
    subjects_to_detect,
)
from clinical_symile.stats.estimate import StudentEstimate
from clinical_symile.stats.proportions import paired_difference


def test_two_one_sided_tests_are_those_of_statsmodels(rng):
    for _ in range(50):
        values = rng.standard_normal(80) * 0.3 + 0.02
        error = values.std(ddof=1) / np.sqrt(80)
        found = noninferiority_test(values.mean(), error, margin=0.1)
        p, (_, lost), (_, gained) = ztost(values, -0.1, 0.1)
        assert found.p_noninferior == pytest.approx(lost, abs=1e-9)
        assert found.p_equivalent == pytest.approx(max(lost, gained), abs=1e-9)
        assert found.p_equivalent == pytest.approx(p, abs=1e-9)


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [(0.0, "equivalent"), (0.05, "non-inferior"), (-0.05, "not shown"), (-0.01, "equivalent")],
)
def test_the_verdict_is_where_the_95_percent_interval_lies(difference, verdict):
    # The margin is 0.05; the interval reaches 1.96 x 0.02 to each side.
    found = noninferiority_test(difference, 0.02, margin=0.05)
    low, high = difference - 1.96 * 0.02, difference + 1.96 * 0.02
    expected = "not shown"
    if low > -0.05:
        expected = "equivalent" if high < 0.05 else "non-inferior"
    assert found.verdict == verdict == expected


def test_a_certain_difference_needs_no_distribution():
    assert noninferiority_test(0.0, 0.0, margin=0.1).verdict == "equivalent"
    assert noninferiority_test(0.2, 0.0, margin=0.1).verdict == "non-inferior"
    assert noninferiority_test(-0.1, 0.0, margin=0.1).verdict == "not shown"


def test_the_minimum_detectable_difference_has_the_power_of_statsmodels():
    least = minimum_detectable(0.03, power=0.8)
    assert least == pytest.approx((1.959964 + 0.841621) * 0.03, abs=1e-6)
    power = normal_power(least / 0.03, nobs=1, alpha=0.05, alternative="two-sided")
    assert power == pytest.approx(0.8, abs=1e-4)


def test_the_sample_size_for_a_difference_finds_it_so_often(rng):
    # One unit of standard deviation per subject; a difference of 0.2.
    n = subjects_to_detect(0.2, 1 / np.sqrt(50), 50)
    expected = normal_sample_size_one_tail(0.2, 0.8, 0.025, std_null=1, std_alternative=1)
    assert n == np.ceil(expected)
    found = np.abs(rng.normal(0.2, 1 / np.sqrt(n), 20_000)) > 1.96 / np.sqrt(n)
    assert found.mean() == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("claim", ["non-inferiority", "equivalence"])
def test_the_sample_size_for_a_margin_shows_the_claim_so_often(rng, claim):
    n = subjects_for_margin(0.1, 0.05, 100, claim=claim)
    error = 0.05 * np.sqrt(100 / n)
    drawn = rng.normal(0, error, 20_000)
    reach = scipy.stats.norm.ppf(0.975) * error
    shown = drawn - reach > -0.1
    if claim == "equivalence":
        shown &= drawn + reach < 0.1
    assert shown.mean() == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("degrees", [np.inf, 11.0])
def test_non_inferiority_is_shown_just_above_the_smallest_margin_and_not_below(degrees):
    least = smallest_margin(-0.02, 0.03, degrees=degrees)
    for margin, shown in ((least + 1e-9, True), (least - 1e-9, False)):
        found = noninferiority_test(-0.02, 0.03, margin=margin, degrees=degrees)
        assert (found.p_noninferior < 0.025) is shown


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_limits_show_non_inferiority_where_the_interval_is_within_the_margin(higher_is_better):
    sign = 1 if higher_is_better else -1
    values = sign * np.repeat([1.0, -1.0, 0.0], [9, 3, 48])
    estimate = paired_difference(values, np.arange(60))
    least = margin_by_limits(estimate, higher_is_better=higher_is_better)
    _, low, high, _ = estimate.interval()
    worst = sign * (low if higher_is_better else high)
    assert least == pytest.approx(max(0.0, -worst))
    for margin, shown in ((least + 1e-4, True), (least - 1e-4, False)):
        found = noninferiority_by_limits(estimate, margin=margin, higher_is_better=higher_is_better)
        assert (found.p_noninferior < 0.025) is shown
        assert found.p_equivalent >= found.p_noninferior


def test_limits_of_student_give_the_tests_of_student():
    estimate = StudentEstimate(-0.01, -0.01, 0.02, 11.0, "Student", True)
    found = noninferiority_by_limits(estimate, margin=0.05, higher_is_better=True)
    expected = noninferiority_test(-0.01, 0.02, margin=0.05, degrees=11.0)
    assert found == pytest.approx(expected)


def test_the_sample_size_and_the_minimum_detectable_difference_undo_each_other():
    least = minimum_detectable(0.02)
    assert subjects_to_detect(least, 0.02, 150) in (150, 151)


@pytest.mark.parametrize(
    "call", [noninferiority_test, lambda d, e, margin: subjects_to_detect(d, e, 9)]
)
def test_a_margin_or_difference_of_0_is_refused(call):
    with pytest.raises(ValueError, match="expected a number above 0"):
        call(0.0, 0.1, margin=0.0)


def test_a_negative_standard_error_is_refused():
    with pytest.raises(ValueError, match="the standard error is -1; expected 0 or more"):
        noninferiority_test(0.0, -1.0, margin=0.1)
    with pytest.raises(ValueError, match="the standard error is -1"):
        subjects_for_margin(0.1, -1.0, 9, claim="equivalence")
