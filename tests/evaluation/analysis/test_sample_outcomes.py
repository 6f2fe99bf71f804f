"""Outcomes of samples, as arrays to resample."""

import numpy as np
import pandas as pd

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.evaluation.analysis.sample_outcomes import split_by_outcome
from tests.helpers.outcomes import sample_outcomes

PARTS = pd.DataFrame(
    {
        "row": [4, 7, 4, 9],
        "label": [0, 1, 1, 0],
        "probability": [0.1, 0.8, 0.6, 0.3],
        "part": ["edema", "edema", "fracture", "fracture"],
    }
)


def test_the_arrays_are_the_columns_of_the_primary_metric(search_task: Retrieval):
    outcome = pd.DataFrame({"row": [1, 2], "above": [0, 3], "tied": [0, 1], "candidates": [5, 5]})
    one = sample_outcomes(search_task, outcome)
    assert one.metric.columns == ("above", "tied")
    assert [array.tolist() for array in one.arrays] == [[0, 3], [0, 1]]
    assert one.rows.tolist() == [1, 2]


def test_a_sample_with_a_row_for_each_part_counts_once(risk_task: Classification):
    assert sample_outcomes(risk_task, PARTS).n_samples == 3


def test_every_part_has_its_own_rows_subjects_and_tuning_samples(risk_task: Classification):
    made = split_by_outcome(sample_outcomes(risk_task, PARTS, tuning=PARTS.iloc[1:]))
    assert list(made) == ["edema", "fracture"]
    assert made["edema"].outcome["row"].tolist() == [4, 7]
    assert made["fracture"].outcome["label"].tolist() == [1, 0]
    assert made["fracture"].subjects.tolist() == [4, 9]
    tuning = made["edema"].tuning
    assert tuning is not None
    assert tuning["row"].tolist() == [7]
    assert "part" not in made["edema"].outcome


def test_a_task_of_one_outcome_is_not_split(risk_task: Classification):
    one = sample_outcomes(risk_task, PARTS.drop(columns="part"))
    assert split_by_outcome(one) == {None: one}


def test_every_analysis_of_a_task_draws_the_same_resamples(risk_task: Classification):
    one = sample_outcomes(risk_task, PARTS)
    np.testing.assert_array_equal(one.rng.integers(100, size=8), one.rng.integers(100, size=8))
