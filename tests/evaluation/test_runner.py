"""Folders that hold no run, or only part of one, are refused."""

from pathlib import Path

import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.evaluation.references import evaluate_baseline
from clinical_symile.evaluation.runner import evaluate_run
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.tracking.run import Run

NAME = "prevalence"


@pytest.fixture
def tasks(catalog: Catalog) -> list[EvaluationTask]:
    names = ("classification/deterioration", "retrieval/cxr_given_ecg_labs")
    made = [read_task(catalog, name) for name in names]
    assert not any(isinstance(task, Pretraining) for task in made)
    return made  # pyright: ignore[reportReturnType]


def _evaluate(run: Run, tasks: list[EvaluationTask], store: CohortStore, task: Pretraining) -> bool:
    return evaluate_baseline(NAME, tasks, store=store, run=run, pretraining=[task])


def test_a_folder_of_a_baseline_is_no_run_and_the_message_names_the_command(
    tasks: list[EvaluationTask],
    synthetic_store: CohortStore,
    tiny_task: Pretraining,
    tmp_path: Path,
):
    run = Run(tmp_path / NAME)
    _evaluate(run, tasks, synthetic_store, tiny_task)
    with pytest.raises(DataError, match="benchmark --baselines prevalence"):
        evaluate_run(run, tasks, store=synthetic_store)


def test_a_run_with_an_incomplete_record_is_refused_with_what_is_missing(
    tasks: list[EvaluationTask], synthetic_store: CohortStore, tmp_path: Path
):
    run = Run(tmp_path / "symile-0")
    run.write_metadata({"name": "symile-0", "task": "pretraining/symile", "seed": 0})
    with pytest.raises(DataError, match="has no cohort, definition, store_digest"):
        evaluate_run(run, tasks, store=synthetic_store)
