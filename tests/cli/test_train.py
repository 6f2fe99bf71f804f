"""`clinical-symile train`, and `evaluate` of what it wrote."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from clinical_symile.data.store import CohortStore
from tests.helpers.hospital import Hospital
from tests.helpers.synthetic import TINY

SET = [word for setting in TINY for word in ("--set", setting)]


def _train(store: CohortStore, runs: Path, *more: str) -> list[str | Path]:
    command = ["train", "pretraining/symile", "--store", store.path, "--out", runs]
    return [*command, "--accelerator", "cpu", *SET, *more]


def test_train_then_evaluate(
    run: Callable[..., tuple[int, str, str]],
    refused: Callable[..., str],
    synthetic_store: CohortStore,
    runs: Path,
):
    status, shown, _ = run(*_train(synthetic_store, runs))
    assert status == 0
    assert "2 epochs" in shown
    assert "clinical-symile dashboard " in shown
    record = tomllib.loads((runs / "symile-0/run.toml").read_text())
    assert record["definition"]["epochs"] == 2
    evaluate = ["evaluate", runs / "symile-0", "--store", synthetic_store.path]

    status, shown, _ = run(
        *evaluate, "--tasks", "retrieval/*", "--missingness", "without-ecg", "--verbose"
    )
    assert status == 0
    assert "retrieval/cxr_given_ecg_labs" in shown
    assert "retrieval/ecg_given_cxr_labs is not evaluated under 'without-ecg'" in shown
    lines = (runs / "symile-0/results.jsonl").read_text().splitlines()
    assert {json.loads(line)["missingness"] for line in lines} == {"without-ecg"}
    asked = {json.loads(line)["task"] for line in lines}
    assert "retrieval/labs_given_cxr_ecg" in asked
    assert "retrieval/ecg_given_cxr_labs" not in asked

    said = refused(*evaluate, "--tasks", "retrieval/cxr_given_ecg_lab")
    assert "did you mean 'retrieval/cxr_given_ecg_labs'" in said
    said = refused(*evaluate, "--missingness", "whitout-ecg")
    assert "did you mean 'without-ecg'" in said
    said = refused(*evaluate, "--missingness", "without-ekg")
    assert "'ekg' is not among the modalities" in said
    said = refused(*evaluate, "--tasks", "classification/cardiomegaly")
    assert "it codes no outcome 'cardiomegaly'" in said
    said = refused(*evaluate, "--tasks", "pretraining/clip")
    assert "is of kind pretraining" in said
    said = refused("evaluate", runs / "none", "--store", synthetic_store.path)
    assert "not a run: it has no run.toml" in said

    said = refused(*_train(synthetic_store, runs, "--set", "dim=4"))
    assert "holds a run of another task_digest" in said


@pytest.mark.parametrize("error", [SystemExit("driver"), RuntimeError("c4n4ry")])
def test_no_error_of_mlflow_ends_a_training(
    error: BaseException,
    run: Callable[..., tuple[int, str, str]],
    synthetic_store: CohortStore,
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    def fail() -> None:
        raise error

    monkeypatch.setattr("clinical_symile.tracking.mlflow._database_maker", fail)
    status, shown, said = run(*_train(synthetic_store, runs))
    assert status == 0
    assert "2 epochs" in shown
    assert f"not synced: run 'symile-0' could not be synced to sqlite:///{runs.resolve()}" in shown
    assert f"then run `clinical-symile sync {runs / 'symile-0'}`" in shown
    assert said == ""
    monkeypatch.undo()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    status, shown, _ = run("sync", runs / "symile-0")
    assert status == 0
    assert "symile-0: sent a new run, 2 epochs" in shown


def test_what_cannot_be_learned_from_leaves_no_run(
    run: Callable[..., tuple[int, str, str]],
    refused: Callable[..., str],
    prepare: list[str | Path],
    hospital: Hospital,
    runs: Path,
):
    run(*prepare)
    command = ["train", "pretraining/symile", "--store", hospital.out, "--out", runs]
    assert "the tuning split has <10 samples with all modalities of the task" in refused(*command)
    assert not [path for path in runs.glob("*") if path.is_dir()]


def test_more_gpus_than_there_are_is_a_sentence(
    refused: Callable[..., str], synthetic_store: CohortStore, runs: Path
):
    command = [*_train(synthetic_store, runs), "--accelerator", "cuda", "--devices", "99"]
    assert "CUDA devices; expected 99" in refused(*command)
    assert not [path for path in runs.glob("*") if path.is_dir()]
