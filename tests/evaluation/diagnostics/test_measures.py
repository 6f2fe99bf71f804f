"""Measures: their values, their weighted forms, and on whom they count."""

import numpy as np
import pytest

from clinical_symile.evaluation.diagnostics.base import DiagnosticMeasure
from clinical_symile.evaluation.diagnostics.measures import (
    average,
    joint_measure,
    mean_of_pairs,
    sample_mean,
)
from clinical_symile.stats.bootstrap import MetricSample, metric_intervals
from tests.helpers.examined import value_of

VALUES = np.array([1.0, np.nan, 3.0, 5.0])


def _pairs(kernel: np.ndarray):
    off = ~np.eye(len(kernel), dtype=bool)
    return lambda at: mean_of_pairs(kernel[np.ix_(at, at)], off[np.ix_(at, at)])


def test_a_mean_leaves_out_samples_without_a_value() -> None:
    one = sample_mean("x", VALUES, low=0.0, high=9.0)
    assert value_of(one) == 3
    assert one.metric.weighted is not None
    weights = np.array([[2, 7, 0, 1], [0, 1, 0, 0]])
    np.testing.assert_allclose(one.metric.weighted(weights, VALUES), [7 / 3, np.nan])


def test_a_mean_of_no_value_is_undefined() -> None:
    one = sample_mean("x", np.full(3, np.nan), low=0.0, high=9.0)
    with pytest.raises(ValueError, match="x is undefined: too few samples"):
        value_of(one)


def test_a_mean_of_shares_has_the_interval_for_few_subjects() -> None:
    share = np.array([1.0, np.nan, 0.0, 1.0, 1.0, 0.0])
    one = sample_mean("x", share, low=0.0, high=1.0)
    subjects = np.arange(6)
    number = MetricSample(
        one.metric.compute, [share], "bca", one.metric.weighted, one.metric.estimate
    )
    (found,) = metric_intervals([number], subjects, rng=np.random.default_rng(0))
    known = ~np.isnan(share)
    other = sample_mean("x", share[known], low=0.0, high=1.0)
    expected = other.metric.estimate([share[known]], subjects[known])
    assert expected is not None
    assert found == expected.interval()


def test_pairs_are_those_of_a_loop_and_a_sample_is_no_pair_with_itself() -> None:
    kernel = np.arange(16.0).reshape(4, 4)
    one = joint_measure(
        "x", np.array([True, True, False, True]), _pairs(kernel), low=0.0, high=99.0
    )
    kept = [0, 1, 3]
    assert value_of(one) == np.mean([kernel[i, j] for i in kept for j in kept if i != j])
    weights = np.array([2, 1, 5, 3])
    total = sum(weights[i] * weights[j] for i in kept for j in kept if i != j)
    summed = sum(weights[i] * weights[j] * kernel[i, j] for i in kept for j in kept if i != j)
    assert one.metric.weighted is not None
    assert one.metric.weighted(weights[None], one.columns["x"])[0] == pytest.approx(summed / total)


def test_one_sample_makes_no_pair() -> None:
    one = joint_measure("x", np.array([True, False]), _pairs(np.eye(2)), low=0.0, high=1.0)
    with pytest.raises(ValueError, match="x is undefined"):
        value_of(one)


def test_a_mean_over_parts_comes_first_and_has_the_columns_of_all() -> None:
    kernel = np.arange(16.0).reshape(4, 4)
    groups = {"x/b/few": np.array([True, False, False, False])}
    parts = [
        sample_mean("x/a", VALUES, low=0.0, high=9.0),
        joint_measure("x/b", np.ones(4, bool), _pairs(kernel), low=0.0, high=99.0, among=groups),
    ]
    mean, *rest = average("x", parts)
    assert rest == parts
    assert mean.metric.columns == ("x/a", "x/b", "x/b/few")
    assert value_of(mean) == (value_of(parts[0]) + value_of(parts[1])) / 2
    arrays = [mean.columns[name] for name in mean.metric.columns]
    weights = np.array([[1, 2, 3, 4], [1, 1, 1, 1]])
    assert mean.metric.weighted is not None
    found = mean.metric.weighted(weights, *arrays)
    own = [one.metric.weighted for one in parts]
    assert own[0] is not None
    assert own[1] is not None
    expected = (own[0](weights, arrays[0]) + own[1](weights, arrays[1])) / 2
    np.testing.assert_allclose(found, expected)
    assert average("x", []) == []


def test_the_chance_of_a_mean_is_the_mean_of_its_parts_chances() -> None:
    values = np.array([0.0, 1.0, 1.0])

    def part(name: str, chance: float | None) -> DiagnosticMeasure:
        return sample_mean(f"recall/{name}", values, low=0.0, high=1.0, chance=chance)

    mean, *_ = average("recall", [part("a", 0.5), part("b", 0.1)])
    assert mean.metric.chance is not None
    assert mean.metric.chance(None) == pytest.approx(0.3)
    assert average("recall", [part("a", 0.5), part("b", None)])[0].metric.chance is None
