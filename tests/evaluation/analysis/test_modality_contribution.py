"""Shapley values of modalities, worked by hand on two of them."""

import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.errors import DataError
from clinical_symile.evaluation.analysis.modality_contribution import (
    contribution_values,
    modality_contributions,
)
from tests.helpers.outcomes import sample_outcomes

SAMPLES, CANDIDATES = 40, 10
# The share of queries whose answer is first, by what the query has.
HITS = {"complete": 0.8, "without-labs": 0.5, "without-ecg": 0.3}
CHANCE = 1 / CANDIDATES


def _scored(task: Retrieval, *, first_row: int = 0):
    made = {}
    for pattern, share in HITS.items():
        above = np.where(np.arange(SAMPLES) < share * SAMPLES, 0, 1)
        table = {"row": np.arange(SAMPLES), "above": above, "tied": 0, "candidates": CANDIDATES}
        made[pattern] = sample_outcomes(task, pd.DataFrame(table), pattern=pattern)
    made["complete"].outcome["row"] += first_row
    return made


@pytest.fixture
def at_1(search_task: Retrieval) -> Retrieval:
    return search_task.model_copy(update={"primary": "recall_at_1"})


def test_the_values_are_those_worked_by_hand(at_1: Retrieval):
    made = modality_contributions(_scored(at_1))
    found = {(row.quantity, row.modalities): row.value for row in made}
    # `without-labs` has the ECG alone. Shapley: the mean gain over both orders of adding one.
    ecg = ((0.5 - CHANCE) + (0.8 - 0.3)) / 2
    labs = ((0.3 - CHANCE) + (0.8 - 0.5)) / 2
    expected = {
        ("shapley", "ecg"): ecg,
        ("shapley", "labs"): labs,
        ("alone", "ecg"): 0.5 - CHANCE,
        ("alone", "labs"): 0.3 - CHANCE,
        ("left_out", "ecg"): 0.8 - 0.3,
        ("left_out", "labs"): 0.8 - 0.5,
        ("interaction", "ecg+labs"): 0.8 - 0.5 - 0.3 + CHANCE,
        ("total", "ecg+labs"): 0.8 - CHANCE,
    }
    assert found == pytest.approx(expected)
    assert ecg + labs == pytest.approx(expected["total", "ecg+labs"])
    assert all(row.low <= row.value <= row.high for row in made)  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]
    assert {row.n_samples for row in made} == {SAMPLES}


def test_without_one_of_the_combinations_there_is_no_value(at_1: Retrieval):
    scored = _scored(at_1)
    del scored["without-ecg"]
    assert modality_contributions(scored) == []
    assert modality_contributions({}) == []


def test_combinations_of_different_samples_are_refused(at_1: Retrieval):
    with pytest.raises(DataError, match="were scored on different samples"):
        modality_contributions(_scored(at_1, first_row=1))


def test_modalities_that_add_up_have_no_interaction():
    values = {
        frozenset(): 0.0,
        frozenset({"a"}): 0.2,
        frozenset({"b"}): 0.3,
        frozenset({"a", "b"}): 0.5,
    }
    made = contribution_values(values, ("a", "b"))
    assert made["interaction", "a+b"] == pytest.approx(0)
    assert made["shapley", "a"] == pytest.approx(0.2)
