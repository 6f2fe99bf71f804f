"""What holds for every metric in the two tables."""

import numpy as np
import pytest

from clinical_symile.metrics.base import Metric
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import CLASSIFICATION_METRICS, RETRIEVAL_METRICS


def found(names) -> list:
    return [pytest.param(name, resolve(name, names), id=name) for name in sorted(names)]


each_retrieval_metric = pytest.mark.parametrize(("name", "metric"), found(RETRIEVAL_METRICS))
each_classification_metric = pytest.mark.parametrize(
    ("name", "metric"), found(CLASSIFICATION_METRICS)
)
each_metric = pytest.mark.parametrize(
    ("name", "metric"), found(RETRIEVAL_METRICS) + found(CLASSIFICATION_METRICS)
)


@each_metric
def test_a_metric_has_the_name_it_is_found_by_and_a_range(name, metric):
    assert isinstance(metric, Metric)
    assert metric.name == name
    assert metric.low < metric.high


def _columns(metric, above, tied, candidates):
    """What a metric asks for, where the wrong scores of a query are compared with its own alone."""
    outcome = {"above": above, "tied": tied, "candidates": candidates}
    outcome["separation"] = 1 - (above + tied / 2) / (candidates - 1)
    return [outcome[name] for name in metric.columns]


@each_retrieval_metric
def test_a_perfect_retrieval_scores_the_best_value(name, metric):
    nothing = np.zeros(5, dtype=int)
    best = metric.high if metric.higher_is_better else metric.low
    assert metric.compute(*_columns(metric, nothing, nothing, nothing + 4)) == best


@each_retrieval_metric
@pytest.mark.parametrize("candidates", [[10, 10], [2, 3, 6, 40]])
def test_a_retrieval_where_all_tie_scores_chance(name, metric, candidates):
    counts = np.array(candidates)
    score = metric.compute(*_columns(metric, np.zeros_like(counts), counts - 1, counts))
    assert score == pytest.approx(metric.chance(counts), rel=1e-12)


@each_retrieval_metric
def test_random_scores_average_to_chance(name, metric, rng):
    # Of 13, so that the median of their ranks is one of them.
    above = rng.integers(13, size=200_000)
    chance = metric.chance(np.full(3, 13))
    columns = _columns(metric, above, np.zeros_like(above), np.full_like(above, 13))
    assert metric.compute(*columns) == pytest.approx(chance, abs=0.005)


@each_retrieval_metric
def test_no_queries_are_refused(name, metric):
    nothing = np.array([], dtype=int)
    with pytest.raises(ValueError, match="there are no queries"):
        metric.compute(*_columns(metric, nothing, nothing, nothing))
    with pytest.raises(ValueError, match="there are no queries"):
        metric.chance(nothing)


@each_classification_metric
def test_a_perfect_classification_scores_the_best_value(name, metric):
    label = np.array([0, 1, 1, 0, 1])
    best = metric.high if metric.higher_is_better else metric.low
    assert metric.compute(label, label.astype(float)) == best


@each_classification_metric
def test_predicting_the_prevalence_scores_chance(name, metric):
    label = np.array([0, 1, 1, 0, 1, 0, 0, 0])
    constant = np.full(8, label.mean())
    chance = 0.0 if metric.chance is None else metric.chance(label)
    assert metric.compute(label, constant) == pytest.approx(chance, rel=1e-12)


@each_classification_metric
def test_the_order_of_samples_changes_nothing(name, metric, rng):
    label = rng.integers(2, size=50)
    probability = rng.random(50).round(1)
    order = rng.permutation(50)
    expected = metric.compute(label, probability)
    assert metric.compute(label[order], probability[order]) == pytest.approx(expected, rel=1e-12)


@each_classification_metric
def test_bad_input_to_a_classification_metric_is_refused(name, metric):
    label, probability = np.array([0, 1]), np.array([0.2, 0.8])
    with pytest.raises(ValueError, match="there are no samples"):
        metric.compute(label[:0], probability[:0])
    with pytest.raises(ValueError, match="labels other than 0 and 1"):
        metric.compute(np.array([0, 2]), probability)
    for bad in (np.nan, 1.5, -0.1):
        with pytest.raises(ValueError, match="probabilities outside 0 … 1 or NaN"):
            metric.compute(label, np.array([0.2, bad]))
