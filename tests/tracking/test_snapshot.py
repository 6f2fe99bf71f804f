"""Runs find their copy in MLflow again, also after folder and database were moved together."""

import shutil
from pathlib import Path

import pytest

from clinical_symile.errors import DataError
from clinical_symile.tracking.snapshot import SHAREABLE_FILES, MlflowCopy


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
