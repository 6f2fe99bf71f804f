import importlib.util
import json
import logging
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clinical_symile.data.store import CohortStore
from clinical_symile.data.store_summary import store_summary, write_summary
from clinical_symile.errors import DataError
from clinical_symile.files import lock_folder
from clinical_symile.tracking import _mlflow_send
from clinical_symile.tracking._mlflow_payload import mlflow_name
from clinical_symile.tracking._mlflow_results import numbers_of_task, task_tables
from clinical_symile.tracking.analysis_tables import RunAnalysis, write_analysis
from clinical_symile.tracking.mlflow import SyncResult, sync_run
from clinical_symile.tracking.results import write_rows
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.snapshot import RunSnapshot
from clinical_symile.tracking.tracking_uri import tracking_uri
from tests.helpers.mlflow_runs import (
    BY_HAND,
    MEASURE,
    RECORD,
    RESULT,
    RESULTS,
    WORTH,
    child_of,
    files_of,
    parent_of,
    runs_of,
    write_run,
)
from tests.helpers.mlflow_servers import Server

pytestmark = BY_HAND
TABLES = {"tables/retrieval/cxr_given_ecg_labs.json", "tables/classification/deterioration.json"}


def sync_nested(run: Run, **named: Any) -> SyncResult:
    """Sync a run with a nested run for each task."""
    return sync_run(run, nest_tasks=True, **named)


def test_runs_go_to_a_database_beside_them_unless_a_server_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path.resolve()}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    assert tracking_uri(tmp_path) == "http://mlflow.example:5000"


def test_a_run_is_synced_with_a_table_for_each_task(tmp_path: Path, database: str):
    folder = write_run(tmp_path / "runs" / "symile-0")
    synced = sync_run(Run(folder), uri=database)
    assert synced.problem is None
    runs = runs_of(database)
    parent = parent_of(database)
    assert parent.info.run_id == synced.run_id
    assert parent.info.run_name == "symile-0"
    assert parent.info.status == "FINISHED"
    assert parent.info.end_time - parent.info.start_time == 300_000
    assert parent.data.params["definition.objective.name"] == "symile"
    assert parent.data.params["definition.modalities"] == '["cxr", "ecg"]'
    assert parent.data.params["overrides.optimiser.learning_rate"] == "0.001"
    assert parent.data.tags["store_digest"] == RECORD["store_digest"]
    assert parent.data.tags["commit"] == RECORD["git_commit"]
    assert parent.data.tags["cohort"] == "synthetic"
    assert "retrieval/cxr_given_ecg_labs" in parent.data.tags["mlflow.note.content"]
    assert parent.data.metrics == {
        "loss": 1.0,
        "seconds": 1.5,
        "tuning/recall_at_1": pytest.approx(0.6),
        "recall_at_1 complete cxr_given_ecg_labs": 0.7,
        "recall_at_1 worst pattern cxr_given_ecg_labs": 0.2,
        "recall_at_1 mean of patterns cxr_given_ecg_labs": 0.2,
        "auroc complete deterioration": 0.8,
        "retained share": pytest.approx(0.1 / 0.6),
    }
    assert len(runs) == 1


def test_the_table_of_a_task_is_one_that_mlflow_loads(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
):
    from mlflow.tracking import MlflowClient

    synced = sync_run(Run(write_run(tmp_path / "symile-0")), uri=database)
    assert synced.run_id is not None
    assert files_of(database, synced.run_id) >= TABLES
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    experiment = parent_of(database).info.experiment_id
    place = "tables/retrieval/cxr_given_ecg_labs.json"
    table = MlflowClient().load_table(experiment, place, run_ids=[synced.run_id])
    assert table["missingness"].tolist() == ["complete", "without-ecg"]
    assert table["metric"].tolist() == ["recall_at_1", "recall_at_1"]
    assert table[["value", "low", "high"]].to_numpy() == pytest.approx(
        np.array([[0.7, 0.65, 0.75], [0.2, 0.15, 0.25]])
    )
    listed = json.loads(parent_of(database).data.tags["mlflow.loggedArtifacts"])
    assert {one["path"] for one in listed} == TABLES


def test_a_table_that_a_user_logged_survives_every_sync_and_remake(tmp_path: Path, database: str):
    from mlflow.tracking import MlflowClient

    folder, client = write_run(tmp_path / "symile-0"), MlflowClient(database)
    first = sync_run(Run(folder), uri=database).run_id
    assert first is not None
    for place in ("mine.json", "tables/mine.json"):
        client.log_table(first, {"a": [1]}, place)
    client.log_text(first, "<title>mine</title>", "report.html")
    assert sync_run(Run(folder), uri=database).run_id == first
    write_rows(folder / "results.jsonl", RESULTS[:1])
    second = sync_run(Run(folder), uri=database).run_id
    assert second not in (None, first)
    assert {"mine.json", "tables/mine.json", "report.html"} <= files_of(database, str(second))
    assert "tables/classification/deterioration.json" not in files_of(database, str(second))
    listed = json.loads(parent_of(database).data.tags["mlflow.loggedArtifacts"])
    assert [one["path"] for one in listed] == [
        "mine.json",
        "tables/mine.json",
        "tables/retrieval/cxr_given_ecg_labs.json",
    ]


def test_nested_runs_of_tasks_are_made_where_they_are_asked_for_and_kept(
    tmp_path: Path, database: str
):
    folder = write_run(tmp_path / "symile-0")
    parent_id = sync_nested(Run(folder), uri=database).run_id
    children = {
        run.data.tags["task"]: run for run in runs_of(database) if run.info.run_id != parent_id
    }
    assert set(children) == {row.task for row in RESULTS}
    child = children[RESULT.task]
    assert child.data.tags["mlflow.parentRunId"] == parent_id
    key = "retrieval/cxr_given_ecg_labs/complete/recall_at_1"
    assert [child.data.metrics[key + end] for end in ("", ".low", ".high")] == [0.7, 0.65, 0.75]
    assert not any("deterioration" in name for name in child.data.metrics)
    write_rows(folder / "results.jsonl", [replace(RESULTS[0], value=0.71), *RESULTS[1:]])
    sync_run(Run(folder), uri=database)  # not asked for again
    assert child_of(database, RESULT.task).data.metrics[key] == 0.71


def test_curves_have_a_point_per_epoch_at_its_step(tmp_path: Path, database: str):
    from mlflow.tracking import MlflowClient

    synced = sync_run(Run(write_run(tmp_path / "symile-0")), uri=database)
    assert synced.run_id is not None
    points = MlflowClient(database).get_metric_history(synced.run_id, "tuning/recall_at_1")
    assert [(p.step, round(p.value, 6)) for p in points] == [(12, 0.2), (24, 0.4), (36, 0.6)]


def test_syncing_as_training_goes_on_adds_only_what_is_new(tmp_path: Path, database: str):
    from mlflow.tracking import MlflowClient

    ids = set()
    for epochs in (1, 2, 3):
        folder = write_run(tmp_path / "symile-0", epochs=epochs, finished=False)
        with lock_folder(folder):  # as a training does
            ids.add(sync_run(Run(folder), uri=database).run_id)
        assert parent_of(database).info.status == "RUNNING"
    folder = write_run(tmp_path / "symile-0")
    ids |= {sync_run(Run(folder), uri=database).run_id for _ in range(2)}
    (run_id,) = ids
    assert run_id is not None
    assert len(MlflowClient(database).get_metric_history(run_id, "loss")) == 3
    assert len(runs_of(database)) == 1
    assert parent_of(database).info.status == "FINISHED"


def test_results_that_come_later_are_added_to_the_same_run(tmp_path: Path, database: str):
    folder = write_run(tmp_path / "symile-0")
    sync_nested(Run(folder), uri=database)
    later = replace(RESULT, task="retrieval/ecg_given_cxr_labs", value=0.6)
    write_rows(folder / "results.jsonl", [*RESULTS, later])
    sync_nested(Run(folder), uri=database)
    assert len(runs_of(database)) == 4
    metrics = parent_of(database).data.metrics
    assert metrics["recall_at_1 complete ecg_given_cxr_labs"] == 0.6
    assert metrics["recall_at_1 complete cxr_given_ecg_labs"] == 0.7


def test_results_of_an_earlier_time_replace_those_that_were_sent(tmp_path: Path, database: str):
    folder = write_run(tmp_path / "symile-0")
    for value, seconds in ((0.7, 1_700_000_100), (0.6, 1_700_000_000)):
        write_rows(folder / "results.jsonl", [replace(RESULT, value=value)])
        os.utime(folder / "results.jsonl", (seconds, seconds))
        sync_run(Run(folder), uri=database)
        metrics = parent_of(database).data.metrics
        assert metrics["recall_at_1 complete cxr_given_ecg_labs"] == value


def test_a_changed_past_is_synced_anew(tmp_path: Path, database: str):
    folder = write_run(tmp_path / "symile-0", finished=False)
    first = sync_run(Run(folder), uri=database).run_id
    lines = (folder / "history.jsonl").read_text().replace('"loss": 3.0', '"loss": 9.0')
    (folder / "history.jsonl").write_text(lines)
    second = sync_run(Run(folder), uri=database).run_id
    assert first != second
    assert [run.info.run_id for run in runs_of(database)] == [second]


def test_another_training_of_the_same_name_is_another_run(tmp_path: Path, database: str):
    for number, started in enumerate(("2026-03-01T10:00:00+00:00", "2026-03-02T10:00:00+00:00")):
        folder = write_run(tmp_path / str(number) / "symile-0", finished=False, started=started)
        sync_run(Run(folder), uri=database)
    assert len(runs_of(database)) == 2


def test_the_oracle_is_synced_from_its_results_alone(tmp_path: Path, database: str):
    folder = tmp_path / "oracle"
    folder.mkdir()
    write_rows(folder / "results.jsonl", [replace(row, run="oracle") for row in RESULTS])
    for _ in range(2):
        assert sync_run(Run(folder), uri=database).problem is None
    assert parent_of(database).info.run_name == "oracle"
    assert len(runs_of(database)) == 1


def test_only_the_listed_files_leave_a_folder(tmp_path: Path, database: str):
    folder = write_run(tmp_path / "symile-0")
    (folder / "model.safetensors").write_bytes(b"weights")
    for name in ("outcomes/retrieval", "candidates"):
        (folder / name).mkdir(parents=True)
    (folder / "outcomes/retrieval/complete.parquet").write_bytes(b"subject 10000032")
    (folder / "candidates/retrieval.parquet").write_bytes(b"subject 10000032")
    synced = sync_run(Run(folder), uri=database)
    assert synced.run_id is not None
    expected = {"run.toml", "history.jsonl", "results.jsonl", *TABLES}
    assert files_of(database, synced.run_id) == expected
    for path in tmp_path.rglob("*"):
        if path.is_file() and folder not in path.parents:
            assert b"10000032" not in path.read_bytes()


def test_no_folder_of_a_file_that_a_task_names_is_sent(tmp_path: Path, database: str):
    folder = write_run(
        tmp_path / "symile-0",
        definition={
            "modalities": ["cxr", "ecg"],
            "objective": {"name": "lab.losses:Own", "table": ["/c4n4ry/costs.csv"]},
            "encoders": {"cxr": {"name": "resnet18", "weights": "c4n4ry/resnet.pt"}},
            "augment": {"ecg": {"name": "lab.noise:Own", "noise": {"of": "D:\\c4n4ry\\bed.npy"}}},
        },
    )
    sync_run(Run(folder), uri=database)
    synced = sync_run(Run(folder), uri=database)  # finds in run.toml where the copy is
    assert (synced.problem, synced.sent) == (None, ())
    parameters = parent_of(database).data.params
    assert parameters["definition.encoders.cxr.weights"] == "resnet.pt"
    assert parameters["definition.objective.table"] == '["costs.csv"]'
    assert parameters["definition.augment.ecg.noise.of"] == "bed.npy"
    (sent,) = (tmp_path / "mlartifacts").rglob("run.toml")
    assert "resnet.pt" in sent.read_text()
    assert "[mlflow]" not in sent.read_text()
    for path in tmp_path.rglob("*"):
        if path.is_file() and folder not in path.parents:
            assert b"c4n4ry" not in path.read_bytes(), path


def test_artifacts_lie_beside_the_database(tmp_path: Path, database: str):
    sync_run(Run(write_run(tmp_path / "symile-0")), uri=database)
    assert list((tmp_path / "mlartifacts" / "synthetic").rglob("run.toml"))


@pytest.mark.parametrize("value", ["subject 10000032", [1, 2], None, True])
def test_a_history_that_holds_more_than_numbers_is_refused(
    tmp_path: Path, database: str, value: Any
):
    folder = write_run(tmp_path / "symile-0")
    (folder / "history.jsonl").write_text(json.dumps({"epoch": 1, "worst": value}) + "\n")
    with pytest.raises(DataError, match=r"history\.jsonl, line 1: worst is not a number"):
        sync_run(Run(folder), uri=database)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, database: str):
    with pytest.raises(DataError, match=r"neither run\.toml nor results"):
        sync_run(Run(tmp_path), uri=database)


def test_names_and_values_that_mlflow_refuses_are_made_legal(tmp_path: Path, database: str):
    folder = write_run(
        tmp_path / "symile-0",
        cohort="a cohort/é",
        notes={"é@1": "x" * 9000, "many": {str(n): n for n in range(250)}},
    )
    write_rows(
        folder / "results.jsonl",
        [
            replace(RESULT, task="../odd//task", missingness=f"p{n}", metric="R@1")
            for n in range(400)
        ],
    )
    history = [{"epoch": 1, "step": 1, **{f"m@{n}": float(n) for n in range(2000)}}]
    (folder / "history.jsonl").write_text(json.dumps(history[0]) + "\n")
    assert sync_nested(Run(folder), uri=database).problem is None


def test_a_number_that_is_not_finite_is_synced(tmp_path: Path, database: str):
    folder = write_run(tmp_path / "symile-0")
    (folder / "history.jsonl").write_text('{"epoch": 1, "step": 1, "loss": NaN}\n')
    assert sync_run(Run(folder), uri=database).problem is None


@pytest.mark.slow
def test_a_server_that_was_down_gets_everything_later(tmp_path: Path, server: Server):
    folder = write_run(tmp_path / "symile-0", cohort="later")
    server.stop()
    before = time.monotonic()
    synced = sync_run(Run(folder), uri=server.uri)
    assert time.monotonic() - before < 6
    assert synced.run_id is None
    assert synced.problem is not None
    assert "Nothing is lost" in synced.problem
    assert str(folder) in synced.problem
    server.start()
    for _ in range(2):
        assert sync_run(Run(folder), uri=server.uri).problem is None
    assert len(runs_of(server.uri, "later")) == 1


def test_a_server_shows_the_same_as_a_database(tmp_path: Path, server: Server):
    server.start()
    folder = write_run(tmp_path / "symile-0")
    first = sync_run(Run(folder), uri=server.uri)
    again = sync_run(Run(folder), uri=server.uri)
    assert first.problem is None
    assert again.run_id == first.run_id
    assert first.run_id is not None
    assert first.url is not None
    assert first.url.startswith(server.uri)
    assert first.url.endswith(first.run_id)
    assert files_of(server.uri, first.run_id) == {
        "run.toml",
        "history.jsonl",
        "results.jsonl",
        *TABLES,
    }
    assert len(runs_of(server.uri)) == 1


def test_a_server_has_the_schema_and_the_profile_of_the_dataset(
    tmp_path: Path, server: Server, synthetic_store: CohortStore
):
    server.start()
    digest = synthetic_store.digest
    folder = write_run(tmp_path / "symile-0", cohort="described", store_digest=digest)
    write_summary(folder, synthetic_store)
    assert sync_run(Run(folder), uri=server.uri).problem is None
    (found,) = parent_of(server.uri, "described").inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("described", digest)
    summary = store_summary(synthetic_store)
    assert json.loads(found.dataset.schema) == {"mlflow_colspec": summary["schema"]}
    assert json.loads(found.dataset.profile) == summary["profile"]


def test_a_server_that_never_answers_delays_a_few_seconds(tmp_path: Path):
    folder = write_run(tmp_path / "symile-0")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        before = time.monotonic()
        uri = f"http://user:secret@127.0.0.1:{silent.getsockname()[1]}"
        synced = sync_run(Run(folder), uri=uri)
    assert time.monotonic() - before < 6
    assert synced.problem is not None
    assert "secret" not in synced.problem


def test_a_database_that_cannot_be_written_delays_a_few_seconds(tmp_path: Path):
    folder = write_run(tmp_path / "symile-0")
    (tmp_path / "file").write_text("no folder")
    before = time.monotonic()
    synced = sync_run(Run(folder), uri=f"sqlite:///{tmp_path}/file/mlflow.db")
    assert time.monotonic() - before < 6
    assert synced.problem is not None


def test_a_deleted_experiment_is_said_and_how_to_bring_it_back(tmp_path: Path, database: str):
    from mlflow.tracking import MlflowClient

    folder = write_run(tmp_path / "symile-0")
    sync_run(Run(folder), uri=database)
    client = MlflowClient(database)
    found = client.get_experiment_by_name("synthetic")
    assert found is not None
    client.delete_experiment(found.experiment_id)
    synced = sync_run(Run(folder), uri=database)
    assert synced.problem is not None
    assert "mlflow experiments restore" in synced.problem


def test_nothing_is_printed_and_nothing_is_left_behind(
    tmp_path: Path, database: str, capfd: pytest.CaptureFixture[str]
):
    environment = dict(os.environ)
    level = logging.getLogger("alembic").level
    sync_run(Run(write_run(tmp_path / "symile-0")), uri=database)
    assert capfd.readouterr() == ("", "")
    assert dict(os.environ) == environment
    assert logging.getLogger("alembic").level == level


def test_mlflow_is_loaded_only_when_something_is_synced_and_never_calls_home(
    tmp_path: Path, database: str
):
    folder = write_run(tmp_path / "symile-0")
    code = f"""
import sys
from pathlib import Path
from clinical_symile.tracking.mlflow import sync_run
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.snapshot import RunSnapshot
assert "mlflow" not in sys.modules
import socket
def refuse(*arguments, **keywords):
    raise AssertionError(f"a network call: {{arguments}}")
socket.socket.connect = socket.getaddrinfo = refuse
synced = sync_run(Run(Path({str(folder)!r})), uri={database!r})
assert synced.problem is None, synced.problem
from mlflow.telemetry.client import get_telemetry_client
assert get_telemetry_client() is None
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_measures_and_values_of_modalities_stand_beside_the_metrics(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "symile-0")
    write_analysis(folder, RunAnalysis(measures=[MEASURE], modality_value=[WORTH]))
    uri = tracking_uri(tmp_path)
    synced = sync_nested(Run(folder), uri=uri)
    assert synced.problem is None
    assert synced.run_id is not None
    task = "classification/deterioration"
    found = child_of(uri, task).data.metrics
    assert found[f"{task}/complete/calibration/slope"] == 0.9
    assert f"{task}/complete/calibration/slope.high" not in found
    assert found[f"{task}/value/interaction/ecg-labs.low"] == 0.01
    rows = json.loads(task_tables(Run(folder).snapshot())[f"tables/{task}.json"])["data"]
    assert ["complete", "calibration/slope", 0.9, 0.7, None, None, 400, None, None] in rows
    assert [row[2:5] for row in rows if str(row[1]).startswith("value/")] == [[0.05, 0.01, 0.09]]
    names = files_of(uri, synced.run_id)
    assert {"measures.jsonl", "modality_value.jsonl"} <= names
    assert not {"subgroups.jsonl", "calibration.jsonl", "net_benefit.jsonl"} & names


def test_a_number_that_is_gone_is_not_shown_beside_those_that_are_there(
    tmp_path: Path, database: str
):
    folder = write_run(tmp_path / "symile-0")
    first = sync_nested(Run(folder), uri=database).run_id
    write_rows(
        folder / "results.jsonl", [row for row in RESULTS if "without" not in row.missingness]
    )
    second = sync_nested(Run(folder), uri=database).run_id
    assert first != second
    names = {*parent_of(database).data.metrics, *child_of(database, RESULT.task).data.metrics}
    assert not any("without-ecg" in name or "pattern" in name for name in names)
    assert sync_nested(Run(folder), uri=database).run_id == second


@pytest.mark.parametrize("names", [("lactate<2", "lactate>2"), ("Ä", "Ö"), ("a:b", "a;b")])
def test_two_outcomes_have_two_metrics_with_their_intervals(
    names: tuple[str, str], tmp_path: Path, database: str
):
    folder = write_run(tmp_path / "two-0")
    rows = [
        replace(RESULT, metric=f"auroc/{name}", value=value, low=value - 0.1, high=value + 0.1)
        for name, value in zip(names, (0.86, 0.14), strict=True)
    ]
    write_rows(folder / "results.jsonl", rows)
    assert sync_nested(Run(folder), uri=database).problem is None
    child = child_of(database, RESULT.task)
    found = {k: v for k, v in child.data.metrics.items() if "/auroc/" in k}
    assert sorted(found.values()) == pytest.approx([0.04, 0.14, 0.24, 0.76, 0.86, 0.96])
    whole = {k: v for k, v in found.items() if not k.endswith((".low", ".high"))}
    assert {(found[f"{k}.low"], v, found[f"{k}.high"]) for k, v in whole.items()} == {
        (round(row.value - 0.1, 2), row.value, round(row.value + 0.1, 2)) for row in rows
    }
    sync_nested(Run(folder), uri=database)
    assert child_of(database, RESULT.task).data.metrics.keys() == child.data.metrics.keys()


def test_names_stay_different_and_keep_their_ends_when_they_are_cut():
    names = [f"{'x' * 300}{end}" for end in ("a", "b")] + ["größe", "a//b", "a/b", "../a", "a", ""]
    for end in ("", ".low", ".high"):
        made = [mlflow_name(name, end=end) for name in names]
        assert len(set(made)) == len(names)
        assert all(name.endswith(end) and len(name) <= 250 for name in made)
    assert mlflow_name("größe") == "größe"


def test_a_driver_that_is_not_installed_is_named_and_training_goes_on(tmp_path: Path):
    pytest.importorskip("sqlalchemy")
    uri = "postgresql+psycopg2://u:secret@127.0.0.1:1/db"
    if importlib.util.find_spec("psycopg2"):
        pytest.skip("psycopg2 is installed here; this tries what happens without it")
    found = sync_run(Run(write_run(tmp_path / "symile-0")), uri=uri)
    assert found.run_id is None
    assert "Install psycopg2, then run `clinical-symile sync" in str(found.problem)
    assert "Nothing is lost" in str(found.problem)
    assert "secret" not in str(found)


def test_a_folder_with_a_question_mark_gets_no_database_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = write_run(tmp_path / "what? no" / "symile-0")
    found = sync_run(Run(folder))
    assert "MLflow cannot keep a database in a folder with '?' in its name" in str(found.problem)
    assert found.run_id is None
    assert [path.name for path in tmp_path.iterdir()] == ["what? no"]
    assert [path.name for path in folder.parent.iterdir()] == ["symile-0"]


def test_a_place_of_files_that_cannot_be_written_is_named_and_the_run_ends(
    tmp_path: Path, database: str
):
    from mlflow.tracking import MlflowClient

    MlflowClient(database).create_experiment(
        "synthetic", artifact_location="/proc/srvonly/artifacts"
    )
    folder = write_run(tmp_path / "symile-0")
    for _ in range(2):
        found = sync_run(Run(folder), uri=database)
        assert "parameters and metrics, but its files could not be stored at" in str(found.problem)
        assert "/proc/srvonly/artifacts" in str(found.problem)
        copy = parent_of(database)
        assert (copy.info.run_id, copy.info.status) == (found.run_id, "FINISHED")
        assert copy.data.metrics["recall_at_1 complete cxr_given_ecg_labs"] == 0.7


def test_a_training_that_was_stopped_ends_at_the_next_sync_and_runs_again_when_resumed(
    tmp_path: Path, database: str
):
    folder = write_run(tmp_path / "symile-0", epochs=2, finished=False)
    with lock_folder(folder):
        sync_run(Run(folder), uri=database)
    found = sync_run(Run(folder), uri=database)
    assert found.sent == ("that its training was stopped",)
    copy = parent_of(database)
    assert copy.info.status == "FAILED"
    assert copy.info.end_time - copy.info.start_time == 3000
    assert sync_run(Run(folder), uri=database).sent == ()
    with lock_folder(write_run(folder, epochs=3, finished=False)):
        sync_run(Run(folder), uri=database)
    assert parent_of(database).info.status == "RUNNING"
    sync_run(Run(write_run(folder)), uri=database)
    copy = parent_of(database)
    assert (copy.info.status, copy.info.end_time - copy.info.start_time) == ("FINISHED", 300_000)


@pytest.mark.parametrize(
    ("error", "method"),
    [
        (SystemExit(3), "search_runs"),
        (GeneratorExit(), "create_run"),
        (MemoryError(), "log_batch"),
        (SystemExit(3), "log_artifact"),
        (ModuleNotFoundError("No boto3", name="boto3"), "log_artifact"),
    ],
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
)
def test_whatever_mlflow_raises_becomes_a_sentence_with_the_command_that_helps(
    error: BaseException, method: str, tmp_path: Path, database: str, monkeypatch: Any
):
    from mlflow.tracking import MlflowClient

    def fail(*arguments: Any, **named: Any) -> None:
        raise error

    folder = write_run(tmp_path / "symile-0")
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, method, fail)
        found = sync_run(Run(folder), uri=database)
    problem = str(found.problem)
    assert f"then run `clinical-symile sync {folder}" in problem
    assert ("Install boto3" in problem) == isinstance(error, ImportError)
    assert ("its files could not be stored" in problem) == (method == "log_artifact")
    assert sync_run(Run(folder), uri=database).problem is None
    assert len(runs_of(database)) == 1
    assert parent_of(database).data.params["definition.objective.name"] == "symile"


def test_a_user_who_stops_a_sync_stops_the_program(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
):
    from mlflow.tracking import MlflowClient

    def stop(*arguments: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(MlflowClient, "create_run", stop)
    with pytest.raises(KeyboardInterrupt):
        sync_run(Run(write_run(tmp_path / "symile-0")), uri=database)


class Killed(BaseException):
    """Stands for SIGKILL at one moment: nothing after it is sent."""


CALLS = ("create_run", "log_batch", "log_inputs", "set_tag", "set_terminated", "log_artifact")
CALLS += ("delete_run", "update_run")


def kill_at(monkeypatch: pytest.MonkeyPatch, moment: int, *, after: bool) -> None:
    """Let the call number `moment` that changes something, and all later ones, do nothing."""
    from mlflow.tracking import MlflowClient

    count = 0

    def wrap(call: Any) -> Any:
        def changed(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count > moment or (count == moment and not after):
                raise Killed
            result = call(*arguments, **named)
            if count == moment:
                raise Killed
            return result

        return changed

    for name in CALLS:
        monkeypatch.setattr(MlflowClient, name, wrap(getattr(MlflowClient, name)))


@pytest.mark.parametrize(
    ("moment", "after"),
    [
        (1, True),
        (8, False),
        *(
            pytest.param(moment, after, marks=pytest.mark.slow)
            for moment in range(1, 24, 2)
            for after in (True, False)
        ),
    ],
)
def test_a_sync_that_was_killed_at_any_moment_is_completed_by_the_next(
    moment: int, after: bool, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
):
    from mlflow.tracking import MlflowClient

    folder = write_run(tmp_path / "symile-0")
    with monkeypatch.context() as patch:
        kill_at(patch, moment, after=after)
        sync_nested(Run(folder), uri=database)
    assert sync_nested(Run(folder), uri=database).problem is None
    assert sync_nested(Run(folder), uri=database).sent == ()
    assert len(runs_of(database)) == 3
    assert {run.info.status for run in runs_of(database)} == {"FINISHED"}
    copy, client = parent_of(database), MlflowClient(database)
    assert copy.data.params["definition.objective.name"] == "symile"
    assert len(copy.inputs.dataset_inputs) == 1
    for name in copy.data.metrics:
        points = client.get_metric_history(copy.info.run_id, name)
        assert len({(p.step, p.value) for p in points}) == len(points), name
    assert len(client.get_metric_history(copy.info.run_id, "loss")) == 3
    assert "run.toml" in files_of(database, copy.info.run_id)


def add_as_a_user(client: Any, run_id: str) -> None:
    client.log_metric(run_id, "external/auroc", 0.77)
    client.log_metric(run_id, "external/auroc", 0.78, step=2)
    client.log_param(run_id, "reviewer", "Dr X")
    client.set_tag(run_id, "reviewed_by", "Dr X")
    client.set_tag(run_id, "mlflow.note.content", "chosen for the paper")
    client.update_run(run_id, name="the best")
    client.log_text(run_id, "looks right", "notes/review.txt")


def check_additions(client: Any, run_id: str) -> None:
    copy = client.get_run(run_id)
    points = client.get_metric_history(run_id, "external/auroc")
    assert [(point.step, point.value) for point in points] == [(0, 0.77), (2, 0.78)]
    assert copy.data.params["reviewer"] == "Dr X"
    assert copy.data.tags["reviewed_by"] == "Dr X"
    assert copy.data.tags["mlflow.note.content"] == "chosen for the paper"
    assert copy.info.run_name == "the best"
    assert [file.path for file in client.list_artifacts(run_id, "notes")] == ["notes/review.txt"]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["database", "server"])
def test_what_users_added_to_a_run_and_its_tasks_survives_every_sync_and_remake(
    place: str, tmp_path: Path, database: str, server: Server
):
    from mlflow.tracking import MlflowClient

    uri = database
    if place == "server":
        server.start()
        uri = server.uri
    cohort = f"additions {place}"
    folder = write_run(tmp_path / "symile-0", cohort=cohort)
    client = MlflowClient(uri)
    first = sync_nested(Run(folder), uri=uri).run_id
    assert first is not None
    experiment = client.get_run(first).info.experiment_id
    client.set_experiment_tag(experiment, "mlflow.note.content", "ours in 2026")
    task = "tags.task = 'classification/deterioration'"
    (child,) = client.search_runs([experiment], task)
    own = client.create_run(experiment, tags={"mlflow.parentRunId": first}, run_name="my own")
    for run_id in (first, child.info.run_id):
        add_as_a_user(client, run_id)

    def check() -> str:
        runs = client.search_runs([experiment])
        assert len(runs) == 4
        (copy,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        (nested,) = client.search_runs([experiment], task)
        for run_id in (copy.info.run_id, nested.info.run_id):
            check_additions(client, run_id)
        parents = {run.data.tags.get("mlflow.parentRunId") for run in runs} - {None}
        assert parents == {copy.info.run_id}
        assert own.info.run_id in {run.info.run_id for run in runs}
        assert client.get_experiment(experiment).tags["mlflow.note.content"] == "ours in 2026"
        return copy.info.run_id

    # Other numbers of the same names: the same copy.
    rows = [replace(row, value=0.71) for row in RESULTS]
    write_rows(folder / "results.jsonl", rows)
    assert sync_nested(Run(folder), uri=uri).problem is None
    assert check() == first
    # A pattern is gone, of the task that the user wrote to as well: all is made anew.
    write_rows(folder / "results.jsonl", [rows[0], replace(rows[2], missingness="without-ecg")])
    assert sync_nested(Run(folder), uri=uri).problem is None
    second = check()
    assert second != first
    assert sync_nested(Run(folder), uri=uri).problem is None
    assert check() == second
    # Training began again.
    history = (folder / "history.jsonl").read_text()
    (folder / "history.jsonl").write_text(history.replace('"loss": 3.0', '"loss": 9.0'))
    assert sync_nested(Run(folder), uri=uri).problem is None
    assert check() not in (first, second)
    # The task has no results any more.
    write_rows(folder / "results.jsonl", rows[:1])
    assert sync_nested(Run(folder), uri=uri).problem is None
    check()
    (nested,) = client.search_runs([experiment], task)
    assert set(nested.data.metrics) == {"external/auroc"}


def test_a_note_that_a_user_writes_before_the_first_results_stays(tmp_path: Path, database: str):
    from mlflow.tracking import MlflowClient

    folder, client = write_run(tmp_path / "symile-0", finished=False), MlflowClient(database)
    first = sync_run(Run(folder), uri=database).run_id
    assert first is not None
    client.set_tag(first, "mlflow.note.content", "looks odd")
    sync_run(Run(write_run(folder)), uri=database)
    assert parent_of(database).data.tags["mlflow.note.content"] == "looks odd"


def test_nested_runs_are_made_again_when_they_or_their_run_were_deleted(
    tmp_path: Path, database: str
):
    from mlflow.tracking import MlflowClient

    folder, client = write_run(tmp_path / "symile-0"), MlflowClient(database)
    first = sync_nested(Run(folder), uri=database).run_id
    assert first is not None
    nested = next(run for run in runs_of(database) if run.info.run_id != first)
    client.delete_run(nested.info.run_id)
    assert sync_nested(Run(folder), uri=database).sent == ("results of 1 task",)
    assert len(runs_of(database)) == 3
    client.delete_run(first)
    second = sync_nested(Run(folder), uri=database).run_id
    runs = [run for run in runs_of(database) if run.info.run_id != second]
    assert {run.data.tags["mlflow.parentRunId"] for run in runs} == {second}
    assert len(runs) == 2


def _numbers_of_all_tasks(run: RunSnapshot) -> dict[str, int | float]:
    """What a run's copy had until version 0.2.1."""
    tasks = dict.fromkeys(row.task for row in run.results)
    return {k: v for task in tasks for k, v in numbers_of_task(run, task).items()}


def test_copies_of_version_0_2_0_are_continued_with_what_users_added(tmp_path: Path, database: str):
    """They have all numbers, and no marks of what a sync sent."""
    from mlflow.tracking import MlflowClient

    folder, client = write_run(tmp_path / "symile-0"), MlflowClient(database)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_mlflow_send, "headline_metrics", _numbers_of_all_tasks)
        first = sync_nested(Run(folder), uri=database).run_id
    assert f"{RESULT.task}/without-ecg/recall_at_1" in parent_of(database).data.metrics
    assert first is not None
    for run in runs_of(database):
        for tag in run.data.tags:
            if tag.startswith("mlflow.clinical_symile.") and not tag.endswith("mirrored"):
                client.delete_tag(run.info.run_id, tag)
    client.set_tag(first, "reviewed_by", "Dr X")
    client.log_metric(first, "mine", 1.0)
    write_rows(folder / "results.jsonl", RESULTS[:1])
    second = sync_nested(Run(folder), uri=database).run_id
    copy = parent_of(database)
    assert copy.info.run_id == second != first
    assert copy.data.tags["reviewed_by"] == "Dr X"
    assert copy.data.metrics["mine"] == 1.0
    assert not any("/" in name for name in copy.data.metrics if not name.startswith("tuning/"))
    assert len(runs_of(database)) == 2


def test_a_run_that_another_process_writes_is_not_synced_and_it_is_said_who_writes_it(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
):
    folder = write_run(tmp_path / "symile-0", finished=False)
    monkeypatch.setattr("clinical_symile.tracking.mlflow._BUSY_TIMEOUT_S", 0.1)
    code = (
        "import sys, pathlib; from clinical_symile.files import lock_folder\n"
        "with lock_folder(pathlib.Path(sys.argv[1])): print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        found = sync_run(Run(folder), uri=database)
        writer.communicate(b"\n")
    assert f"process {writer.pid} on" in str(found.problem)
    assert "Wait until it ends" in str(found.problem)
    assert sync_run(Run(folder), uri=database).problem is None


def test_a_database_that_is_removed_during_training_is_made_again_with_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder, uri = write_run(tmp_path / "symile-0"), tracking_uri(tmp_path)
    for _ in range(2):
        assert sync_run(Run(folder)).problem is None
        assert len(runs_of(uri)) == 1
        (tmp_path / "mlflow.db").unlink()


def test_system_metrics_are_sent_where_they_are_asked_for_and_then_kept_up_to_date(
    tmp_path: Path, database: str
):
    from mlflow.tracking import MlflowClient

    def costs(epochs: int) -> dict[str, Any]:
        spent = {"wall_s": [2.0] * epochs, "processor_s": [3.0] * epochs}
        return {"training": {"wall_s": 2.0 * epochs}, "epochs": spent}

    folder, name = tmp_path / "symile-0", "system/process_cpu_percent"
    with lock_folder(write_run(folder, epochs=2, finished=False, costs=costs(2))):
        plain = sync_run(Run(folder), uri=database)
        assert name not in parent_of(database).data.metrics
        sent = sync_run(Run(folder), uri=database, system_metrics=True)
        assert sent.sent == ("system metrics of 2 epochs",)
        assert sync_run(Run(folder), uri=database).sent == ()
        write_run(folder, epochs=3, finished=False, costs=costs(3))
        assert "system metrics of 1 epoch" in sync_run(Run(folder), uri=database).sent
    write_run(folder, costs=costs(3))
    assert sync_run(Run(folder), uri=database).run_id == plain.run_id
    copy = parent_of(database)
    assert copy.data.metrics[name] == 150.0
    assert copy.data.tags["cost.training_s"] == "6.000"
    assert not [key for key in copy.data.params if key.startswith("costs")]
    assert len(MlflowClient(database).get_metric_history(copy.info.run_id, name)) == 3


@pytest.mark.slow
def test_runs_that_are_synced_at_once_into_a_new_database_all_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folders = [
        write_run(tmp_path / f"symile-{n}", seed=n, started=f"2026-03-0{n + 1}T10:00:00+00:00")
        for n in range(4)
    ]
    code = (
        "import sys; from pathlib import Path; "
        "from clinical_symile.tracking.mlflow import sync_run; "
        "from clinical_symile.tracking.run import Run; "
        "found = sync_run(Run(Path(sys.argv[1]))); sys.exit(found.problem)"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(folder)], stderr=subprocess.PIPE)
        for folder in folders
    ]
    for process in started:
        _, error = process.communicate(timeout=300)
        assert process.returncode == 0, error
    parents = [
        run for run in runs_of(tracking_uri(tmp_path)) if "mlflow.parentRunId" not in run.data.tags
    ]
    assert sorted(run.info.run_name for run in parents) == [f"symile-{n}" for n in range(4)]
    assert [path.name for path in tmp_path.glob("mlflow.db*")] == ["mlflow.db"]
