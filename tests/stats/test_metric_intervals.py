from dataclasses import replace

import numpy as np
import pytest

from clinical_symile.metrics.classification import AUROC, BRIER
from clinical_symile.metrics.retrieval import MEDIAN_RANK
from clinical_symile.stats.bootstrap import bootstrap, by_weights, jackknife, resample
from clinical_symile.stats.metric_intervals import (
    INTERVALS,
    NO_WIDTH,
    MetricSample,
    NoInterval,
    metric_intervals,
)

RESAMPLES = 200


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
