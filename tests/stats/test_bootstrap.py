import time
from dataclasses import replace
from types import SimpleNamespace

import jaxtyping
import numpy as np
import pytest
import scipy.stats

from clinical_symile.metrics.classification import AUROC, BRIER
from clinical_symile.metrics.retrieval import MEDIAN_RANK, RECALL_AT_1, expected_ranks
from clinical_symile.stats.bootstrap import (
    INTERVALS,
    NO_WIDTH,
    MetricSample,
    bootstrap,
    metric_intervals,
    paired_bootstrap,
    resample,
)
from clinical_symile.stats.estimate import NoInterval
from clinical_symile.stats.resampling import by_weights, jackknife

RESAMPLES = 200


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


@pytest.fixture(params=INTERVALS)
def people(request, rng: np.random.Generator) -> tuple[list[MetricSample], np.ndarray]:
    """Three metrics of the same 60 samples of 40 people; one has no form by weights."""
    kind = request.param
    label = np.arange(60) % 2
    probability = np.clip(0.3 * label + rng.random(60) * 0.7, 0, 1)
    above = rng.integers(0, 10, 60)
    both = [label, probability]
    numbers = [
        MetricSample(AUROC.compute, both, kind, AUROC.weighted),
        MetricSample(BRIER.compute, both, kind, BRIER.weighted),
        MetricSample(MEDIAN_RANK.compute, [above, np.zeros_like(above)], kind),
    ]
    return numbers, rng.integers(0, 40, 60)


def _all(numbers: list[MetricSample], subjects: np.ndarray) -> list:
    rng = np.random.default_rng(5)
    return metric_intervals(numbers, subjects, rng=rng, resamples=RESAMPLES)


def _of_kind(numbers: list[MetricSample], kind: str) -> list[MetricSample]:
    return [replace(number, interval=kind) for number in numbers]


def test_numbers_that_share_what_is_drawn_are_as_each_is_alone(people):
    numbers, subjects = people
    mixed = [*numbers, *_of_kind(numbers, "bca"), *_of_kind(numbers, "percentile")]
    together = _all(mixed, subjects)
    assert together == [_all([number], subjects)[0] for number in mixed]
    assert [interval.kind for interval in together] == [number.interval for number in mixed]
    assert all(interval.low < interval.value < interval.high for interval in together)


def test_the_percentile_intervals_are_those_of_the_bootstrap(people):
    numbers, subjects = _of_kind(people[0], "percentile"), people[1]
    for number, interval in zip(numbers, _all(numbers, subjects), strict=True):
        rng = np.random.default_rng(5)
        expected = bootstrap(
            number.compute,
            number.arrays,
            subjects,
            rng=rng,
            resamples=RESAMPLES,
            weighted=number.weighted,
        )
        assert interval[:3] == pytest.approx(expected[:3], abs=1e-12)


def test_the_bca_intervals_are_those_of_the_same_resamples_and_the_jackknife(people):
    numbers, subjects = _of_kind(people[0], "bca"), people[1]
    for number, interval in zip(numbers, _all(numbers, subjects), strict=True):
        form = number.weighted or by_weights(number.compute)
        drawn = resample(
            number.compute,
            number.arrays,
            subjects,
            rng=np.random.default_rng(5),
            resamples=RESAMPLES,
            weighted=form,
        )
        expected = drawn.bca_interval(jackknife(form, number.arrays, subjects))
        assert interval[:3] == pytest.approx(expected[:3], abs=1e-12)


def test_a_number_that_is_undefined_stands_with_its_reason_and_takes_no_other_with_it(people):
    numbers, subjects = people
    kind = numbers[0].interval
    one_class = MetricSample(AUROC.compute, [np.ones(60, dtype=int), np.linspace(0, 1, 60)], kind)
    rare = np.zeros(60, dtype=int)
    rare[0] = 1
    often = MetricSample(AUROC.compute, [rare, np.linspace(0, 1, 60)], kind, AUROC.weighted)
    first, alone, second, last = _all([numbers[0], one_class, often, numbers[1]], subjects)
    assert [first, last] == _all(numbers[:2], subjects)
    assert "AUROC needs both classes" in str(alone)
    assert isinstance(second, NoInterval)
    assert "undefined without one or two of the subjects" in second.reason
    assert all(isinstance(one, ValueError) for one in _all([one_class], subjects))


def test_without_two_people_no_number_has_an_interval(people):
    numbers, _ = people
    made = _all(numbers, np.zeros(60, dtype=int))
    assert all("needs at least 2 of them" in str(error) for error in made)


def test_an_interval_without_a_width_is_never_given():
    label = np.arange(40) % 2
    arrays = [label, label.astype(float)]
    perfect = MetricSample(AUROC.compute, arrays, "bca", AUROC.weighted)
    assert _all([perfect], np.arange(40)) == [NoInterval(1.0, NO_WIDTH)]
    own = MetricSample(AUROC.compute, arrays, "bca", AUROC.weighted, AUROC.estimate)
    (interval,) = _all([own], np.arange(40))
    assert interval.kind == "score"
    assert interval.low < interval.value == interval.high == 1.0
