"""Examples show synthetic subjects only, with the answers as they were ranked."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import PADDING
from clinical_symile.data.store import CohortStore
from clinical_symile.reporting.query_examples import query_examples
from clinical_symile.tracking.results import SkippedResult
from clinical_symile.tracking.run import Run


@pytest.fixture
def task(catalog: Catalog) -> Retrieval:
    made = read_task(catalog, "retrieval/cxr_given_ecg_labs")
    assert isinstance(made, Retrieval)
    return made


@pytest.fixture
def rows(task: Retrieval, synthetic_store: CohortStore) -> np.ndarray:
    return synthetic_store.complete_rows(task.split, synthetic_store.modalities)[:5]


@pytest.fixture
def run(tmp_path: Path, task: Retrieval, rows: np.ndarray) -> Run:
    """A run that finds every second query's answer first, and has one further answer."""
    made = Run(tmp_path / "symile-0")
    made.write_metadata({"name": "symile-0", "seed": 0, "task": "pretraining/symile"})
    other = np.roll(rows, 1)
    found = np.arange(len(rows)) % 2 == 0
    outcome = pd.DataFrame(
        {
            "row": rows,
            "above": np.where(found, 0, 1),
            "tied": 0,
            "candidates": 2,
            "answer_1": np.where(found, rows, other),
            "answer_2": np.where(found, PADDING, rows),
        }
    )
    made.write_evaluation(
        task.name,
        results=[],
        unscored=[],
        outcomes={"complete": outcome},
        tuning={},
        candidates=pd.DataFrame(),
    )
    return made


def test_the_first_three_queries_are_shown_with_their_answers_in_order(
    task: Retrieval, run: Run, rows: np.ndarray, synthetic_store: CohortStore
):
    made = query_examples(synthetic_store, [run], {task.name: task})
    assert len(made) == 3
    for place, example in enumerate(made):
        assert set(example.query) == {"ecg", "labs"}
        marks = [is_correct for _, is_correct in example.answers["symile-0"]]
        assert marks == ([True] if place % 2 == 0 else [False, True])
        image = example.answers["symile-0"][-1][0]
        np.testing.assert_array_equal(image, synthetic_store.array("cxr")[rows[place]])


def test_measurements_are_in_the_units_of_a_figure(
    task: Retrieval, run: Run, rows: np.ndarray, synthetic_store: CohortStore
):
    first = query_examples(synthetic_store, [run], {task.name: task})[0]
    stored = np.asarray(synthetic_store.array("ecg")[rows[0]])
    np.testing.assert_allclose(first.query["ecg"], stored / 1000)
    values = np.asarray(synthetic_store.array("labs")[rows[0]])
    assert len(first.query["labs"]) == int((~np.isnan(values)).sum())


def test_no_measurement_of_a_real_patient_is_shown(
    task: Retrieval, run: Run, synthetic_store: CohortStore
):
    for change in ({"generator": None}, {"access": "credentialed"}):
        real = replace(synthetic_store, manifest={**synthetic_store.manifest, **change})
        assert query_examples(real, [run], {task.name: task}) == []


def test_without_a_run_or_a_complete_pattern_there_is_no_example(
    task: Retrieval, run: Run, synthetic_store: CohortStore
):
    other = task.model_copy(update={"missingness": ("mcar-30",)})
    assert query_examples(synthetic_store, [], {task.name: task}) == []
    assert query_examples(synthetic_store, [run], {other.name: other}) == []


def test_a_run_that_cannot_be_scored_has_no_answers(
    task: Retrieval, run: Run, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    supervised = Run(tmp_path / "outcome-0")
    about = {"run": "outcome-0", "cohort": "synthetic", "task": task.name, "digest": "0" * 16}
    supervised.write_evaluation(
        task.name,
        results=[],
        unscored=[SkippedResult(**about, missingness="complete", reason="it predicts labels.")],
        outcomes={},
        candidates=pd.DataFrame(),
    )
    runs, tasks = [supervised, run], {task.name: task}
    found = query_examples(synthetic_store, runs, tasks)
    assert {name for example in found for name in example.answers} == {"symile-0"}
    assert not query_examples(synthetic_store, [supervised], tasks)
