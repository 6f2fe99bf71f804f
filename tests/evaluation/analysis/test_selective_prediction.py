from typing import Any

import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.evaluation.analysis.sample_outcomes import SampleOutcomes
from clinical_symile.evaluation.analysis.selective_prediction import (
    COVERAGES,
    reported_coverages,
    selective_measures,
)
from clinical_symile.evaluation.task_metrics import primary_metric
from clinical_symile.metrics.selective import aurc

ABOUT: dict[str, Any] = {
    "run": "a-0",
    "cohort": "synthetic",
    "task": "classification/t",
    "missingness": "complete",
    "digest": "d",
}


def outcomes(
    task: Classification, label: np.ndarray, probability: np.ndarray, subjects: np.ndarray
) -> SampleOutcomes:
    rows = np.arange(len(label))
    frame = pd.DataFrame({"row": rows, "label": label, "probability": probability})
    return SampleOutcomes(ABOUT, task, primary_metric(task, frame), frame, None, subjects)


def test_measures_are_the_curve_of_the_outcomes(
    risk_task: Classification, rng: np.random.Generator
):
    n = 200
    probability = rng.random(n)
    label = (rng.random(n) < probability).astype(int)
    one = outcomes(risk_task, label, probability, np.arange(n))
    found = {row.measure: row for row in selective_measures(one, part=None).measures}
    names = ["aurc", "excess_aurc", *(f"risk_at_{coverage}" for coverage in COVERAGES)]
    assert list(found) == [f"selective/{name}" for name in names]
    assert found["selective/aurc"].value == pytest.approx(aurc(label, probability))
    wrong = ((probability > 0.5) != label)[np.argsort(-np.abs(probability - 0.5))]
    for coverage in COVERAGES:
        row = found[f"selective/risk_at_{coverage}"]
        assert row.value == pytest.approx(wrong[: n * coverage // 100].mean())
        assert row.low is not None
        assert row.high is not None
        assert row.low <= row.value <= row.high
        assert row.n_samples == n
    assert 0 < found["selective/excess_aurc"].value < found["selective/aurc"].value


def test_a_coverage_is_left_out_where_few_subjects_are_between_it_and_the_next():
    probability = np.linspace(0.5, 1, 60)
    # Six of 60 samples are between two coverages.
    assert reported_coverages(probability, np.arange(60)) == [60, 80, 100]
    assert reported_coverages(probability, np.arange(60) // 4) == [100]
    assert reported_coverages(np.linspace(0.5, 1, 200), np.arange(200)) == list(COVERAGES)
    assert reported_coverages(probability[:12], np.arange(12)) == [100]


def test_without_errors_and_with_one_subject_there_is_no_interval(
    risk_task: Classification, rng: np.random.Generator
):
    label = rng.integers(2, size=40)
    right = outcomes(risk_task, label, 0.1 + 0.8 * label, np.arange(40))
    alone = outcomes(risk_task, label, rng.random(40), np.zeros(40))
    for one in (right, alone):
        rows = selective_measures(one, part=None).measures
        assert rows
        assert all(row.low is None and row.high is None for row in rows)
    assert {row.value for row in selective_measures(right, part=None).measures} == {0.0}


def test_a_task_that_predicts_no_risk_has_no_such_measure(risk_task: Classification):
    one = outcomes(risk_task, np.array([0, 1]), np.array([0.1, 0.8]), np.arange(2))
    ranks = one.outcome.drop(columns="probability")
    without = SampleOutcomes(ABOUT, risk_task, one.metric, ranks, None, one.subjects)
    assert selective_measures(without, part=None).measures == []
