"""`clinical-symile dashboard`."""

from collections.abc import Callable
from pathlib import Path


def test_a_folder_that_was_not_copied_to_mlflow_is_refused(
    refused: Callable[..., str], tmp_path: Path
):
    assert "has no mlflow.db; expected the folder of a benchmark" in refused("dashboard", tmp_path)
