"""Runs find their copy in MLflow again, also after folder and database were moved together."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from clinical_symile.errors import DataError
from clinical_symile.tracking.analysis_tables import Measure, ModalityValue, RunAnalysis
from clinical_symile.tracking.results import Result
from clinical_symile.tracking.snapshot import (
    SHAREABLE_FILES,
    MlflowCopy,
    RunSnapshot,
    read_dataset,
    without_small_counts,
)

ABOUT = {"run": "symile-0", "cohort": "synthetic", "digest": "aaaa"}


def _copy(uri: str) -> MlflowCopy:
    return MlflowCopy(tracking_uri=uri, experiment="symile", run_id="1a2b")


def test_a_database_above_the_run_is_named_by_a_relative_path(tmp_path: Path):
    folder = tmp_path / "out" / "runs" / "symile-0"
    table = _copy(f"sqlite:///{tmp_path.resolve()}/out/mlflow.db").to_table(folder=folder)
    assert table["tracking_uri"] == "sqlite:///../../mlflow.db"


def test_moving_run_and_database_together_keeps_the_copy(tmp_path: Path):
    first, second = tmp_path / "first", tmp_path / "second"
    folder = first / "runs" / "symile-0"
    folder.mkdir(parents=True)
    table = _copy(f"sqlite:///{first.resolve()}/mlflow.db").to_table(folder=folder)
    shutil.move(first, second)
    moved = MlflowCopy.from_table(table, folder=second / "runs" / "symile-0")
    assert moved == _copy(f"sqlite:///{second.resolve()}/mlflow.db")


@pytest.mark.parametrize("uri", ["https://mlflow.example.org", "sqlite:////data/mlflow.db"])
def test_a_server_and_a_database_elsewhere_are_named_as_they_are(uri: str, tmp_path: Path):
    table = _copy(uri).to_table(folder=tmp_path / "runs" / "symile-0")
    assert table["tracking_uri"] == uri
    assert MlflowCopy.from_table(table, folder=tmp_path) == _copy(uri)


@pytest.mark.parametrize(
    "table",
    [
        {"tracking_uri": "https://x", "experiment": "symile"},
        {"tracking_uri": "https://x", "experiment": "symile", "run_id": 3},
        {"tracking_uri": "https://x", "experiment": "symile", "run_id": "1", "user": "me"},
    ],
)
def test_a_table_of_another_form_is_refused_with_its_keys(table: dict, tmp_path: Path):
    with pytest.raises(DataError, match=r"\[mlflow\] has experiment.*expected the texts") as caught:
        MlflowCopy.from_table(table, folder=tmp_path)
    assert "Remove the table" in str(caught.value)


def test_no_file_with_rows_of_samples_or_weights_may_leave_a_run():
    assert not any(
        name.endswith((".parquet", ".safetensors", ".csv", ".npy")) for name in SHAREABLE_FILES
    )
    assert "outcomes" not in "".join(SHAREABLE_FILES)


def _result(task: str, n_samples: int, n_smallest_class: int | None = None) -> Result:
    return Result(
        **ABOUT,  # pyright: ignore[reportArgumentType]
        task=task,
        split="held_out",
        missingness="complete",
        metric="brier",
        value=0.125,
        low=0.1,
        high=0.2,
        interval="Wilson",
        chance=0.25,
        n_samples=n_samples,
        n_subjects=n_samples,
        hidden={},
        mask="0123",
        seed=0,
        n_smallest_class=n_smallest_class,
    )


def _measure(task: str) -> Measure:
    return Measure(
        **ABOUT,
        task=task,
        missingness="complete",
        part=None,
        measure="calibration/brier",
        value=0.125,
        low=0.1,
        high=0.2,
        n_samples=40,
    )


def _worth(task: str) -> ModalityValue:
    return ModalityValue(
        **ABOUT,
        task=task,
        metric="brier",
        quantity="shapley",
        modalities="ecg",
        value=0.1,
        low=0.0,
        high=0.2,
        n_samples=40,
        n_subjects=40,
    )


def _lines(rows: list) -> bytes:
    return "".join(json.dumps(asdict(row)) + "\n" for row in rows).encode()


def test_what_rests_on_few_subjects_or_few_of_a_class_stays_in_the_folder():
    results = [_result("large", 40, 12), _result("few", 9), _result("rare", 40, 4)]
    tasks = ("large", "few", "rare")
    measures, worth = [_measure(task) for task in tasks], [_worth(task) for task in tasks]
    snapshot = RunSnapshot(
        name="symile-0",
        cohort="synthetic",
        metadata={},
        history=[],
        results=results,
        analysis=RunAnalysis(measures=measures, modality_value=worth),
        evaluated_ms=0,
        files={
            "run.toml": b"",
            "results.jsonl": _lines(results),
            "measures.jsonl": _lines(measures),
            "modality_value.jsonl": _lines(worth),
        },
    )
    shared = without_small_counts(snapshot)
    assert [row.task for row in shared.results] == ["large"]
    assert [row.task for row in shared.analysis.measures] == ["large"]
    assert [row.task for row in shared.analysis.modality_value] == ["large"]
    assert shared.files["results.jsonl"] == _lines(results[:1])
    assert shared.files["measures.jsonl"] == _lines(measures[:1])
    assert shared.files["modality_value.jsonl"] == _lines(worth[:1])
    assert shared.files["run.toml"] == b""


def test_a_damaged_description_of_the_dataset_ends_in_a_sentence(tmp_path: Path):
    (tmp_path / "dataset.json").write_text('{"cohort": "synthetic", "schema": [{"name": 3}]}')
    with pytest.raises(DataError, match=r"dataset\.json: .*schema is not .* Remove it"):
        read_dataset(tmp_path)
