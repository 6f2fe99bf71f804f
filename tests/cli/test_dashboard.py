"""`clinical-symile dashboard`."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "content", [b"", b"abc\xe9", bytes(5000), b"SQLite format 3\0" + bytes(90)]
)
def test_a_database_that_is_damaged_is_one_sentence(
    refused: Callable[..., str], tmp_path: Path, content: bytes
):
    (tmp_path / "mlflow.db").write_bytes(content)
    said = refused("dashboard", tmp_path, "--port", "0")
    assert "mlflow.db: cannot be read as a database of MLflow" in said
    assert "clinical-symile sync" in said


def test_a_folder_that_was_not_copied_to_mlflow_is_refused(
    refused: Callable[..., str], tmp_path: Path
):
    assert "has no mlflow.db; expected the folder of a benchmark" in refused("dashboard", tmp_path)
