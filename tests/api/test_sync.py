"""`sync_mlflow` of one run, and of all runs of folders."""

from pathlib import Path

import pytest

from clinical_symile.api.sync import sync_folders, sync_mlflow
from clinical_symile.errors import DataError
from tests.helpers.mlflow_runs import BY_HAND, write_run

pytestmark = BY_HAND


def test_each_result_is_reported_when_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("a-0", "b-0"):
        write_run(tmp_path / name)
    seen = []
    results = sync_folders([tmp_path / "b-0", tmp_path], on_result=seen.append)
    assert [result.run for result in results] == ["b-0", "a-0", "b-0"]
    assert seen == results
    assert [bool(result.sent) for result in results] == [True, True, False]
    assert sync_mlflow(tmp_path / "a-0").sent == ()


def test_nothing_is_copied_if_one_folder_holds_no_run(tmp_path: Path):
    write_run(tmp_path / "a-0")
    with pytest.raises(DataError, match="holds no run"):
        sync_folders([tmp_path / "a-0", tmp_path / "a-0" / "candidates"])
    assert not (tmp_path / "mlflow.db").exists()
