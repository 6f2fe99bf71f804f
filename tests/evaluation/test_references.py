"""Baselines are evaluated once, and again where a task or a store changed."""

from pathlib import Path

import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation import references
from clinical_symile.evaluation.references import evaluate_baseline
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.tracking.run import Run

NAME = "prevalence"


@pytest.fixture
def tasks(catalog: Catalog) -> list[EvaluationTask]:
    names = ("classification/deterioration", "retrieval/cxr_given_ecg_labs")
    made = [read_task(catalog, name) for name in names]
    assert not any(isinstance(task, Pretraining) for task in made)
    return made  # pyright: ignore[reportReturnType]


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the tasks that are evaluated from now on; they are evaluated as ever."""
    names, evaluate = [], references.evaluate_and_save

    def record(run, task, *arguments, **keywords):
        names.append(task.name)
        return evaluate(run, task, *arguments, **keywords)

    monkeypatch.setattr(references, "evaluate_and_save", record)
    return names


def _evaluate(run: Run, tasks: list[EvaluationTask], store: CohortStore, task: Pretraining) -> bool:
    return evaluate_baseline(NAME, tasks, store=store, run=run, pretraining=[task])


def test_a_baseline_is_evaluated_on_classifications_once(
    tasks: list[EvaluationTask],
    synthetic_store: CohortStore,
    tiny_task: Pretraining,
    tmp_path: Path,
    evaluated: list[str],
):
    run = Run(tmp_path / NAME)
    assert _evaluate(run, tasks, synthetic_store, tiny_task)
    assert evaluated == ["classification/deterioration"]
    assert run.is_baseline
    first = run.results
    assert {row.missingness for row in (*first, *run.unscored)} == set(tasks[0].missingness)
    assert _evaluate(run, tasks, synthetic_store, tiny_task)
    assert evaluated == ["classification/deterioration"], "nothing changed"
    assert run.results == first


def test_a_changed_task_is_evaluated_again_and_another_store_empties_the_folder(
    tasks: list[EvaluationTask],
    synthetic_store: CohortStore,
    tiny_task: Pretraining,
    tmp_path: Path,
    evaluated: list[str],
):
    run = Run(tmp_path / NAME)
    _evaluate(run, tasks, synthetic_store, tiny_task)
    changed = [tasks[0].model_copy(update={"seed": tasks[0].seed + 1})]
    _evaluate(run, changed, synthetic_store, tiny_task)
    assert len(evaluated) == 2
    (run.path / "left.txt").write_text("of another store")
    run.write_metadata({**run.metadata, "store_digest": "another"})
    _evaluate(run, tasks, synthetic_store, tiny_task)
    assert len(evaluated) == 3
    assert not (run.path / "left.txt").exists()
    assert run.metadata["store_digest"] == synthetic_store.digest


def test_without_a_classification_or_a_pretraining_task_there_is_no_baseline(
    tasks: list[EvaluationTask],
    synthetic_store: CohortStore,
    tiny_task: Pretraining,
    tmp_path: Path,
):
    run = Run(tmp_path / NAME)
    assert not _evaluate(run, tasks[1:], synthetic_store, tiny_task)
    assert not evaluate_baseline(NAME, tasks, store=synthetic_store, run=run, pretraining=[])
    assert not run.path.exists()
