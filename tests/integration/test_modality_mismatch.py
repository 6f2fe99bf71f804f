"""A run that was trained with some modalities, met with others: from training to the matrix."""

from pathlib import Path

import numpy as np
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.evaluate import evaluate
from clinical_symile.evaluation.runner import evaluate_run, trained_predictor
from clinical_symile.missingness.patterns import every_pattern
from clinical_symile.reporting.result_lookup import ResultTable
from clinical_symile.reporting.sections.modality_mismatch import mismatch_matrices
from clinical_symile.tracking.run import Run
from clinical_symile.training.learner import load_learner
from clinical_symile.training.train import train
from tests.helpers.synthetic import mlp_task

MODALITIES = ("cxr", "ecg", "labs")
HEAD = "classification/more/deterioration_by_head"


def _trained(catalog: Catalog, store: CohortStore, folder: Path, name: str, *changes: str) -> Run:
    task = mlp_task(catalog, *changes, task=f"pretraining/robustness/{name}")
    return train(task, store=store, run=Run(folder / name), seed=0, accelerator="cpu")


def _head(catalog: Catalog) -> Classification:
    task = read_task(catalog, HEAD)
    assert isinstance(task, Classification)
    return task.model_copy(update={"missingness": tuple(every_pattern(MODALITIES))})


@pytest.mark.slow
def test_the_diagonal_is_the_plain_evaluation_and_disjoint_sets_are_refused_by_name(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    task, runs = _head(catalog), []
    for name in ("outcome_only_cxr", "outcome_without_cxr"):
        run = _trained(catalog, synthetic_store, tmp_path, name)
        evaluate_run(run, [task], store=synthetic_store)
        runs.append(run)
    results = [row for run in runs for row in run.results]
    unscored = [row for run in runs for row in run.unscored]
    table = {"kind": "classification", "inputs": MODALITIES, "outcome": "deterioration"}
    [matrix] = mismatch_matrices(
        ResultTable(results),
        [run.metadata for run in runs],
        unscored,
        tasks={HEAD: {**table, "primary": "auroc", "higher_is_better": True}},
    )
    assert list(matrix.trained) == [("ecg", "labs"), ("cxr",)]
    for run, met, pattern in zip(
        runs, (("cxr",), ("ecg", "labs")), ("only-cxr", "without-cxr"), strict=True
    ):
        trained = _task_of(catalog, run)
        learner = load_learner(run, trained, synthetic_store)
        predictor = trained_predictor(run, trained, learner, synthetic_store, seed=0)
        plain = evaluate(
            task, predictor, store=synthetic_store, run=run.name, seed=0, missingness=[pattern]
        )
        [value] = [row.value for row in plain.results if row.metric == "auroc"]
        assert matrix.value(met, met) == value
    refused = {(row.run, row.missingness) for row in unscored}
    assert refused == {
        ("outcome_only_cxr", "without-cxr"),
        ("outcome_only_cxr", "only-ecg"),
        ("outcome_only_cxr", "only-labs"),
        ("outcome_without_cxr", "only-cxr"),
    }
    assert {row.code for row in unscored} == {"CS-S020"}
    assert "training hid ecg, labs in every sample (pattern 'only-cxr')" in unscored[0].reason
    assert (("cxr",), ("ecg",)) in matrix.impossible


def _task_of(catalog: Catalog, run: Run) -> Pretraining:
    return mlp_task(catalog, task=run.metadata["task"])


@pytest.mark.slow
def test_training_and_selection_read_nothing_that_the_pattern_hides(
    catalog: Catalog,
    synthetic_store: CohortStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = _trained(catalog, synthetic_store, tmp_path / "a", "outcome_without_ecg")
    read = CohortStore.inputs

    def changed(store: CohortStore, modality: str, rows: np.ndarray) -> np.ndarray:
        return (-2 if modality == "ecg" else 1) * read(store, modality, rows)

    monkeypatch.setattr(CohortStore, "inputs", changed)
    second = _trained(catalog, synthetic_store, tmp_path / "b", "outcome_without_ecg")
    for key in ("loss", "tuning/auroc"):
        assert [one[key] for one in first.history] == [one[key] for one in second.history]
    whole = _trained(catalog, synthetic_store, tmp_path / "c", "outcome_complete")
    assert [one["loss"] for one in whole.history] != [one["loss"] for one in first.history]


@pytest.mark.slow
def test_a_retrieval_target_that_training_hid_is_refused_and_no_run_from_another_start(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    run = _trained(catalog, synthetic_store, tmp_path, "clip_without_ecg")
    task = read_task(catalog, "retrieval/ecg_given_cxr_labs")
    assert isinstance(task, Retrieval)
    evaluate_run(run, [task], store=synthetic_store)
    assert not run.results
    assert {row.code for row in run.unscored} == {"CS-S020"}
    started = _trained(
        catalog,
        synthetic_store,
        tmp_path,
        "outcome_only_cxr",
        f'start="{run.path.as_posix()}"',
        "norm=l2",
    )
    evaluate_run(started, [_head(catalog)], store=synthetic_store)
    assert not started.unscored
