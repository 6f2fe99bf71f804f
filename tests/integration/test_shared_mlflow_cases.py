"""The situations 10, 12 and 14 of `../shared/cases/models`, by their own files.

11 and 15 need several processes and a server: see `test_runs_that_are_synced_at_once…` and
`test_a_place_of_files_that_cannot_be_written…` in tests/tracking/test_mlflow.py.
"""

from functools import partial
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from clinical_symile.cli.main import main
from clinical_symile.data.store import CohortStore
from clinical_symile.stats.bootstrap import metric_intervals
from clinical_symile.tracking.run import Run
from tests.helpers.synthetic import TINY

pytestmark = pytest.mark.slow  # MLflow makes a database for each


@pytest.fixture
def cases(shared: Path) -> Path:
    return shared / "cases" / "models"


@pytest.fixture(autouse=True)
def _own_database(monkeypatch: pytest.MonkeyPatch) -> None:
    few = partial(metric_intervals, resamples=50)
    monkeypatch.setattr("clinical_symile.evaluation.evaluate.metric_intervals", few)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def command(*words: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    return int(stop.value.code or 0)


def synced(run: Run) -> tuple[MlflowClient, str]:
    copy = run.mlflow_copy
    assert copy is not None
    return MlflowClient(tracking_uri=copy.tracking_uri), copy.run_id


@pytest.mark.parametrize(
    ("file", "outcomes"), [("lt.csv", ("lactate<2", "lactate>2")), ("uniout.csv", ("Ä", "Ö"))]
)
def test_10_two_outcomes_whose_names_differ_in_a_sign_have_two_metrics(
    file: str, outcomes: tuple[str, str], cases: Path, tmp_path: Path
) -> None:
    path = cases / "10_mlflow_names_collide" / file
    assert command("evaluate", "--predictions", path, "--out", tmp_path, "--name", "theirs") == 0
    run = Run(tmp_path / "runs" / "theirs")
    values = {row.metric: row.value for row in run.results if "auroc/" in row.metric}
    of = {name: next(v for m, v in values.items() if m.endswith(name)) for name in outcomes}
    assert sorted(of.values()) == pytest.approx([0.134, 0.866], abs=1e-3)
    client, run_id = synced(run)
    metrics = client.get_run(run_id).data.metrics
    found = [
        value
        for name, value in metrics.items()
        if "auroc/" in name and not name.endswith((".low", ".high"))
    ]
    # Copies of results on real subjects are rounded to what one sample changes.
    assert sorted(found) == pytest.approx(sorted(values.values()), abs=0.01)
    written = [path.name for path in run.path.rglob("*.parquet")]
    assert not any(set("<>") & set(name) for name in written)


def test_12_what_a_person_added_to_a_copy_survives_the_next_evaluation(
    cases: Path, tmp_path: Path
) -> None:
    file = cases / "12_mlflow_users_own_metric" / "preds.csv"
    words = ("evaluate", "--predictions", file, "--out", tmp_path, "--name", "m")
    assert command(*words) == 0
    run = Run(tmp_path / "runs" / "m")
    client, run_id = synced(run)
    client.log_metric(run_id, "external/auroc", 0.77)
    client.set_tag(run_id, "reviewed_by", "Dr X")
    client.set_tag(run_id, "mlflow.note.content", "chosen for the paper")
    assert command(*words) == 0
    client, again = synced(run)
    assert again == run_id
    found = client.get_run(run_id)
    assert found.info.lifecycle_stage == "active"
    assert found.data.metrics["external/auroc"] == 0.77
    assert found.data.tags["reviewed_by"] == "Dr X"
    assert found.data.tags["mlflow.note.content"] == "chosen for the paper"


def test_14_a_training_goes_on_without_the_driver_of_the_database(
    synthetic_store: CohortStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql+nosuch://u:s3cr3t@127.0.0.1:1/db")
    settings = [word for setting in TINY for word in ("--set", setting)]
    words = ("train", "pretraining/symile", "--store", synthetic_store.path, "--out", tmp_path)
    assert command(*words, *settings) == 0
    run = Run(tmp_path / "symile-0")
    assert run.is_finished
    shown = "".join(capsys.readouterr())
    assert "could not be synced" in " ".join(shown.split())
    assert "s3cr3t" not in shown
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in kept if b"s3cr3t" in path.read_bytes()]
