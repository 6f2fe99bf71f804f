import time
from dataclasses import replace
from types import SimpleNamespace

import jaxtyping
import numpy as np
import pytest
import scipy.stats

from clinical_symile.metrics.classification import AUROC
from clinical_symile.metrics.retrieval import RECALL_AT_1, expected_ranks
from clinical_symile.stats import bootstrap as intervals
from clinical_symile.stats.bootstrap import (
    bootstrap,
    by_weights,
    jackknife,
    paired_bootstrap,
    resample,
    resample_metric,
)


def mean(values):
    return float(values.mean())


def test_the_interval_of_a_mean_is_the_textbook_one(rng):
    values = rng.standard_normal(400)
    interval = bootstrap(mean, [values], np.arange(400), rng=rng, resamples=4_000)
    half_width = 1.96 * values.std() / np.sqrt(400)
    assert interval.value == values.mean()
    assert interval.low == pytest.approx(values.mean() - half_width, abs=0.1 * half_width)
    assert interval.high == pytest.approx(values.mean() + half_width, abs=0.1 * half_width)


def test_an_interval_of_a_higher_level_is_as_much_wider_as_the_normal_one(rng):
    values, other = rng.standard_normal((2, 400))
    usual, wide = (
        paired_bootstrap(
            mean, [values], [other], np.arange(400), rng=rng, resamples=4_000, level=level
        )
        for level in (0.95, 0.99)
    )
    assert (wide.high - wide.low) / (usual.high - usual.low) == pytest.approx(2.576 / 1.96, rel=0.1)


def clustered(rng, *, people=60, samples=5):
    """Samples of a person differ little from each other, and people differ."""
    subjects = np.repeat(np.arange(people), samples)
    values = rng.standard_normal(people)[subjects] + 0.3 * rng.standard_normal(people * samples)
    return values, subjects


def test_intervals_over_subjects_cover_the_truth_and_intervals_over_samples_do_not(rng):
    covered = {"subjects": 0, "samples": 0}
    for _ in range(100):
        values, subjects = clustered(rng)
        for name, units in (("subjects", subjects), ("samples", np.arange(len(values)))):
            interval = bootstrap(mean, [values], units, rng=rng, resamples=200)
            covered[name] += interval.low <= 0 <= interval.high
    assert covered["subjects"] >= 88
    assert covered["samples"] < 80


def test_all_samples_of_a_subject_are_drawn_together():
    subjects = np.array(["b", "a", "b", "c", "b", "a"])
    available = []

    def remember(drawn):
        available.append(drawn)
        return 0.0

    bootstrap(remember, [subjects], subjects, rng=np.random.default_rng(0), resamples=50)
    sizes = {"a": 2, "b": 3, "c": 1}
    for drawn in available:
        times = {name: (drawn == name).sum() / size for name, size in sizes.items()}
        assert all(count == int(count) for count in times.values())
        assert sum(times.values()) == 3


def test_the_same_seed_gives_the_same_interval():
    values = np.arange(20.0)
    first = bootstrap(mean, [values], np.arange(20), rng=np.random.default_rng(3))
    assert bootstrap(mean, [values], np.arange(20), rng=np.random.default_rng(3)) == first


def test_the_interval_of_a_constant_model_is_chance(rng):
    outcome = expected_ranks(np.zeros((30, 10)), rng.integers(10, size=30))
    interval = bootstrap(RECALL_AT_1.compute, outcome, np.arange(30) // 2, rng=rng)
    assert interval[:3] == pytest.approx((0.1, 0.1, 0.1))


def test_a_paired_difference_is_narrower_than_the_difference_of_two_intervals(rng):
    values, subjects = clustered(rng)
    better = values + 0.1 + 0.01 * rng.standard_normal(len(values))
    alone = bootstrap(mean, [values], subjects, rng=rng)
    paired = paired_bootstrap(mean, [better], [values], subjects, rng=rng)
    assert paired.value == pytest.approx(better.mean() - values.mean())
    assert 0 < paired.low < paired.value < paired.high
    assert paired.high - paired.low < 0.1 * (alone.high - alone.low)


def test_a_model_does_not_differ_from_itself(rng):
    label, probability = rng.integers(2, size=50), rng.random(50)
    arrays = [label, probability]
    interval = paired_bootstrap(AUROC.compute, arrays, arrays, np.arange(50), rng=rng)
    assert interval == (0, 0, 0, "percentile")


def test_a_metric_that_is_rarely_undefined_has_an_interval(rng):
    # One positive subject of four in 200 is missed in a resample with probability e⁻⁴ = 0.018.
    label = np.zeros(200, dtype=int)
    label[:4] = 1
    probability = np.linspace(1, 0, 200)
    interval = bootstrap(AUROC.compute, [label, probability], np.arange(200), rng=rng)
    assert interval == (1, 1, 1, "percentile")


@pytest.mark.parametrize("events", [1, 2])
def test_a_metric_that_depends_on_one_or_two_subjects_is_refused(events, rng):
    label = np.zeros(200, dtype=int)
    label[:events] = 1
    message = "undefined without one or two of the subjects.*: AUROC needs both classes"
    with pytest.raises(ValueError, match=message):
        bootstrap(AUROC.compute, [label, np.linspace(0, 1, 200)], np.arange(200), rng=rng)


def test_three_subjects_of_a_class_have_an_interval_for_every_seed():
    label = (np.arange(40) < 3).astype(int)  # missed by 4 to 6 % of the resamples
    arrays = [label, np.linspace(1, 0, 40)]
    for seed in range(40):
        rng = np.random.default_rng(seed)
        bootstrap(AUROC.compute, arrays, np.arange(40), rng=rng, resamples=200)


def test_a_metric_that_is_undefined_for_all_samples_says_so_itself(rng):
    with pytest.raises(ValueError, match="AUROC needs both classes; all labels are equal"):
        bootstrap(AUROC.compute, [np.zeros(9, int), np.zeros(9)], np.arange(9), rng=rng)


def test_one_subject_is_refused(rng):
    with pytest.raises(ValueError, match="needs at least 2 of them"):
        bootstrap(mean, [np.arange(4.0)], np.zeros(4, int), rng=rng)


def test_arrays_of_another_length_are_refused(rng, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="arrays of length 3, 4 for 4 samples"):
        paired_bootstrap(mean, [np.arange(4.0)], [np.arange(3.0)], np.arange(4), rng=rng)


def test_a_thousand_resamples_of_500_samples_are_fast(rng):
    label, probability = rng.integers(2, size=500), rng.random(500)
    start = time.perf_counter()
    bootstrap(AUROC.compute, [label, probability], np.arange(500) // 2, rng=rng)
    assert time.perf_counter() - start < 10


def test_the_form_by_weights_draws_the_same_people(rng):
    values, subjects = clustered(rng)
    one, other = (
        bootstrap(
            mean,
            [values],
            subjects,
            rng=np.random.default_rng(7),
            weighted=form,
        )
        for form in (None, lambda weights, values: weights @ values / weights.sum(axis=1))
    )
    assert one[:3] == pytest.approx(other[:3], abs=1e-12)


def test_what_is_resampled_together_has_the_same_people(rng):
    values, subjects = clustered(rng)

    def both(weights, values):
        mean = weights @ values / weights.sum(axis=1)
        return np.stack([mean, -mean], axis=1)

    drawn = resample_metric(both, [values], subjects, rng=rng, resamples=50)
    assert drawn.shape == (50, 2)
    np.testing.assert_array_equal(drawn[:, 0], -drawn[:, 1])


def test_few_weights_at_a_time_give_the_same(rng, monkeypatch):
    values, subjects = clustered(rng)
    form = by_weights(mean)
    whole, without = (
        resample_metric(form, [values], subjects, rng=np.random.default_rng(1), resamples=20),
        jackknife(form, [values], subjects),
    )
    monkeypatch.setattr(intervals, "_MAX_WEIGHTS", 700)
    again = resample_metric(form, [values], subjects, rng=np.random.default_rng(1), resamples=20)
    np.testing.assert_array_equal(again, whole)
    np.testing.assert_array_equal(jackknife(form, [values], subjects), without)


def test_the_jackknife_leaves_out_whole_subjects():
    values, subjects = np.array([1.0, 3.0, 8.0, 6.0]), np.array(["b", "a", "b", "c"])
    # Without a: 15 / 3; without b: 9 / 2; without c: 12 / 3.
    assert jackknife(by_weights(mean), [values], subjects).tolist() == [5.0, 4.5, 4.0]


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_bca_interval_is_that_of_scipy(level, rng):
    values = rng.lognormal(0, 1, 25)
    drawn = resample(mean, [values], np.arange(25), rng=rng, resamples=999)
    expected = scipy.stats.bootstrap(
        (values,),
        np.mean,
        method="BCa",
        confidence_level=level,
        n_resamples=0,
        bootstrap_result=SimpleNamespace(bootstrap_distribution=drawn.values),
    ).confidence_interval
    found = drawn.bca_interval(jackknife(by_weights(mean), [values], np.arange(25)), level)
    assert found.value == values.mean()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_of_many_people_groups_are_left_out_and_the_interval_is_nearly_the_same(rng, monkeypatch):
    values, subjects = rng.lognormal(0, 1, 3000), np.arange(3000)

    def mean(weights, values):
        return weights @ values / weights.sum(axis=1)

    drawn = resample(np.mean, [values], subjects, rng=rng, weighted=mean)
    groups = jackknife(mean, [values], subjects)
    monkeypatch.setattr("clinical_symile.stats.bootstrap._MAX_LEFT_OUT", 3000)
    people = jackknife(mean, [values], subjects)
    assert (len(groups), len(people)) == (1000, 3000)
    few, all_of_them = (drawn.bca_interval(left_out) for left_out in (groups, people))
    assert few.low == pytest.approx(all_of_them.low, abs=0.03 * (few.high - few.low))
    assert few.high == pytest.approx(all_of_them.high, abs=0.03 * (few.high - few.low))
    assert all_of_them.low > drawn.interval().low


def test_rounding_is_neither_bias_nor_skewness(rng):
    # Ties share the first place: shares of 1/3 and 1/10 add up to the value in many orders.
    above, tied = np.zeros(30, dtype=int), np.where(np.arange(30) < 20, 9, 2)
    form = RECALL_AT_1.weighted
    assert form is not None
    drawn = resample(RECALL_AT_1.compute, [above, tied], np.arange(30), rng=rng, weighted=form)
    left_out = jackknife(form, [above, tied], np.arange(30))
    level = np.abs(drawn.values - drawn.value) < 1e-12
    assert len(np.unique(drawn.values[level])) > 1
    exact = replace(drawn, values=np.where(level, drawn.value, drawn.values))
    found, expected = drawn.bca_interval(left_out), exact.bca_interval(left_out)
    assert found[:3] == pytest.approx(expected[:3], abs=1e-12)
    even = [np.zeros(30, dtype=int), np.full(30, 9)]
    drawn = resample(RECALL_AT_1.compute, even, np.arange(30), rng=rng, weighted=form)
    assert drawn.bca_interval(jackknife(form, even, np.arange(30))).kind == "percentile"


def test_where_nothing_varies_the_bca_interval_is_the_value(rng):
    drawn = resample(mean, [np.ones(9)], np.arange(9), rng=rng)
    left_out = jackknife(by_weights(mean), [np.ones(9)], np.arange(9))
    assert drawn.bca_interval(left_out) == (1, 1, 1, "percentile")


def test_the_standard_error_of_a_mean_is_the_textbook_one(rng):
    values = rng.standard_normal(400)
    drawn = resample(mean, [values], np.arange(400), rng=rng, resamples=4_000)
    assert drawn.standard_error == pytest.approx(values.std() / np.sqrt(400), rel=0.05)


def _range(values):
    """A metric that needs two different values."""
    if len(np.unique(values)) < 2:
        raise ValueError("all values are equal")
    return float(np.ptp(values))


def test_a_difference_is_undefined_where_the_baseline_hangs_on_one_subject(rng):
    run, baseline = rng.standard_normal(40), np.zeros(40)
    baseline[7] = 1.0
    for one, other in ((run, baseline), (baseline, run)):
        with pytest.raises(ValueError, match=r"without one or two of the subjects.*are equal"):
            paired_bootstrap(_range, [one], [other], np.arange(40), rng=rng, resamples=200)


def test_a_metric_that_is_no_number_without_one_subject_has_no_interval(rng):
    values = np.zeros(40)
    values[3] = 1.0

    def share(some):
        return float(some.sum()) if some.any() else float("nan")

    with pytest.raises(ValueError, match="not a number"):
        bootstrap(share, [values], np.arange(40), rng=rng, resamples=200)
