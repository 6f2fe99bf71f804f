import importlib.util
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from clinical_symile.errors import DataError
from clinical_symile.tracking._mlflow_payload import mlflow_name
from clinical_symile.tracking.analysis_tables import (
    Measure,
    ModalityValue,
    RunAnalysis,
    write_analysis,
)
from clinical_symile.tracking.mlflow import sync_run
from clinical_symile.tracking.results import Result, write_rows
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.tracking_uri import tracking_uri

RECORD = {
    "started": "2026-03-01T10:00:00+00:00",
    "cohort": "synthetic",
    "store_digest": "0123456789abcdef",
    "task_digest": "fedcba9876543210",
    "git_commit": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "seed": 0,
    "overrides": {"optimiser.learning_rate": 0.001},
    "task": "pretraining/symile",
    "definition": {
        "name": "pretraining/symile",
        "modalities": ["cxr", "ecg"],
        "objective": {"name": "symile"},
    },
}
RESULT = Result(
    run="symile-0",
    cohort="synthetic",
    task="retrieval/cxr_given_ecg_labs",
    split="held_out",
    missingness="complete",
    metric="recall_at_1",
    value=0.7,
    low=0.65,
    high=0.75,
    interval="bca",
    chance=0.1,
    n_samples=400,
    n_subjects=300,
    hidden={"ecg": 0.0, "labs": 0.0},
    mask="0123",
    seed=0,
    digest="aaaa",
)
MEASURE = Measure(
    run="symile-0",
    cohort="synthetic",
    task="classification/deterioration",
    missingness="complete",
    part=None,
    measure="calibration/slope",
    value=0.9,
    low=0.7,
    high=None,
    n_samples=400,
    digest="bbbb",
)
WORTH = ModalityValue(
    run="symile-0",
    cohort="synthetic",
    task="classification/deterioration",
    metric="auroc",
    quantity="interaction",
    modalities="ecg+labs",
    value=0.05,
    low=0.01,
    high=0.09,
    n_samples=400,
    n_subjects=300,
    digest="bbbb",
)
RESULTS = [
    RESULT,
    replace(RESULT, missingness="without-ecg", value=0.2, low=0.15, high=0.25),
    replace(RESULT, task="classification/deterioration", metric="auroc", value=0.8, digest="bbbb"),
]


def write_run(folder: Path, *, epochs: int = 3, finished: bool = True, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    record = RECORD | changes | ({"finished": "2026-03-01T10:05:00+00:00"} if finished else {})
    (folder / "run.toml").write_text(tomli_w.dumps(record))
    history = [
        {"epoch": e, "step": 12 * e, "loss": 3.0 / e, "tuning/recall_at_1": 0.2 * e, "seconds": 1.5}
        for e in range(1, epochs + 1)
    ]
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in history))
    if finished:
        write_rows(folder / "results.jsonl", RESULTS)
    return folder


def runs_of(uri: str, experiment: str = "synthetic") -> list[Any]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else list(client.search_runs([found.experiment_id]))


def parent_of(uri: str) -> Any:
    (parent,) = [run for run in runs_of(uri) if "mlflow.parentRunId" not in run.data.tags]
    return parent


def files_of(uri: str, run_id: str) -> set[str]:
    from mlflow.tracking import MlflowClient

    return {file.path for file in MlflowClient(uri).list_artifacts(run_id)}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """A real MLflow server that can be stopped and started again."""

    def __init__(self, folder: Path):
        self.port, self.folder = free_port(), folder
        self.process: subprocess.Popen[bytes] | None = None
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        if self.process is not None:
            return
        database = f"sqlite:///{self.folder / 'server.db'}"
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--workers", "1", "--backend-store-uri", database]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        raise TimeoutError("the MLflow server did not start")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=60)
            self.process = None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow takes seconds to make one."""
    folder = tmp_path_factory.mktemp("empty")
    assert sync_run(Run(write_run(folder / "any", cohort="other")), uri=tracking_uri(folder)).run_id
    return folder / "mlflow.db"


@pytest.fixture
def database(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An MLflow database with another cohort's run in it."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return tracking_uri(tmp_path)


def test_runs_go_to_a_database_beside_them_unless_a_server_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path.resolve()}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    assert tracking_uri(tmp_path) == "http://mlflow.example:5000"


def test_a_run_is_synced_with_its_tasks_nested(tmp_path: Path, database: str):
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
    key = "retrieval/cxr_given_ecg_labs/complete/recall_at_1"
    assert [parent.data.metrics[key + end] for end in ("", ".low", ".high")] == [0.7, 0.65, 0.75]
    children = {
        run.data.tags["task"]: run for run in runs if run is not parent and "task" in run.data.tags
    }
    assert set(children) == {row.task for row in RESULTS}
    child = children[RESULT.task]
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.metrics[key] == 0.7
    assert not any("deterioration" in name for name in child.data.metrics)


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
        ids.add(sync_run(Run(folder), uri=database).run_id)
        assert parent_of(database).info.status == "RUNNING"
    folder = write_run(tmp_path / "symile-0")
    ids |= {sync_run(Run(folder), uri=database).run_id for _ in range(2)}
    (run_id,) = ids
    assert run_id is not None
    assert len(MlflowClient(database).get_metric_history(run_id, "loss")) == 3
    assert len(runs_of(database)) == 3
    assert parent_of(database).info.status == "FINISHED"


def test_results_that_come_later_are_added_to_the_same_run(tmp_path: Path, database: str):
    folder = write_run(tmp_path / "symile-0")
    sync_run(Run(folder), uri=database)
    later = replace(RESULT, task="retrieval/ecg_given_cxr_labs", value=0.6)
    write_rows(folder / "results.jsonl", [*RESULTS, later])
    sync_run(Run(folder), uri=database)
    assert len(runs_of(database)) == 4
    metrics = parent_of(database).data.metrics
    assert metrics["retrieval/ecg_given_cxr_labs/complete/recall_at_1"] == 0.6
    assert metrics["retrieval/cxr_given_ecg_labs/complete/recall_at_1"] == 0.7


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
    assert len(runs_of(database)) == 3


def test_only_the_listed_files_leave_a_folder(tmp_path: Path, database: str):
    folder = write_run(tmp_path / "symile-0")
    (folder / "model.safetensors").write_bytes(b"weights")
    for name in ("outcomes/retrieval", "candidates"):
        (folder / name).mkdir(parents=True)
    (folder / "outcomes/retrieval/complete.parquet").write_bytes(b"subject 10000032")
    (folder / "candidates/retrieval.parquet").write_bytes(b"subject 10000032")
    report = tmp_path / "somewhere" / "anything.html"
    report.parent.mkdir()
    report.write_text("<title>report</title>")
    synced = sync_run(Run(folder), uri=database, report=report)
    assert synced.run_id is not None
    expected = {"run.toml", "history.jsonl", "results.jsonl", "report.html"}
    assert files_of(database, synced.run_id) == expected
    for path in tmp_path.rglob("*"):
        if path.is_file() and folder not in path.parents:
            assert b"10000032" not in path.read_bytes()


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
    assert sync_run(Run(folder), uri=database).problem is None


def test_a_number_that_is_not_finite_is_synced(tmp_path: Path, database: str):
    folder = write_run(tmp_path / "symile-0")
    (folder / "history.jsonl").write_text('{"epoch": 1, "step": 1, "loss": NaN}\n')
    assert sync_run(Run(folder), uri=database).problem is None


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
    assert len(runs_of(server.uri, "later")) == 3


def test_a_server_shows_the_same_as_a_database(tmp_path: Path, server: Server):
    server.start()
    folder = write_run(tmp_path / "symile-0")
    report = tmp_path / "report.html"
    report.write_text("<title>report</title>")
    first = sync_run(Run(folder), uri=server.uri)
    again = sync_run(Run(folder), uri=server.uri, report=report)
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
        "report.html",
    }
    assert len(runs_of(server.uri)) == 3


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
    synced = sync_run(Run(folder), uri=uri)
    assert synced.problem is None
    assert synced.run_id is not None
    found = parent_of(uri).data.metrics
    task = "classification/deterioration"
    assert found[f"{task}/complete/calibration/slope"] == 0.9
    assert f"{task}/complete/calibration/slope.high" not in found
    assert found[f"{task}/value/interaction/ecg-labs.low"] == 0.01
    names = files_of(uri, synced.run_id)
    assert {"measures.jsonl", "modality_value.jsonl"} <= names
    assert not {"subgroups.jsonl", "calibration.jsonl", "net_benefit.jsonl"} & names


def test_a_number_that_is_gone_is_not_shown_beside_those_that_are_there(
    tmp_path: Path, database: str
):
    folder = write_run(tmp_path / "symile-0")
    first = sync_run(Run(folder), uri=database).run_id
    write_rows(
        folder / "results.jsonl", [row for row in RESULTS if "without" not in row.missingness]
    )
    second = sync_run(Run(folder), uri=database).run_id
    assert first != second
    assert not any("without-ecg" in name for name in parent_of(database).data.metrics)
    assert sync_run(Run(folder), uri=database).run_id == second


@pytest.mark.parametrize("names", [("lactate<2", "lactate>2"), ("Ä", "Ö"), ("a:b", "a;b")])
def test_two_outcomes_have_two_metrics_with_their_intervals(
    names: tuple[str, str], tmp_path: Path, database: str
):
    folder = write_run(tmp_path / "two-0")
    rows = [
        replace(RESULT, metric=f"auroc/{name}", value=value, low=value - 0.1, high=value + 0.1)
        for name, value in zip(names, (0.866, 0.134), strict=True)
    ]
    write_rows(folder / "results.jsonl", rows)
    assert sync_run(Run(folder), uri=database).problem is None
    found = {k: v for k, v in parent_of(database).data.metrics.items() if "/auroc/" in k}
    assert sorted(found.values()) == pytest.approx([0.034, 0.134, 0.234, 0.766, 0.866, 0.966])
    whole = {k: v for k, v in found.items() if not k.endswith((".low", ".high"))}
    assert {(found[f"{k}.low"], v, found[f"{k}.high"]) for k, v in whole.items()} == {
        (row.low, row.value, row.high) for row in rows
    }
    sync_run(Run(folder), uri=database)
    assert parent_of(database).data.metrics.keys() >= found.keys()


def test_names_stay_different_and_keep_their_ends_when_they_are_cut():
    names = [f"{'x' * 300}{end}" for end in ("a", "b")] + ["größe", "a//b", "a/b", "../a", "a", ""]
    for end in ("", ".low", ".high"):
        made = [mlflow_name(name, end=end) for name in names]
        assert len(set(made)) == len(names)
        assert all(name.endswith(end) and len(name) <= 250 for name in made)
    assert mlflow_name("größe") == "größe"


def test_what_a_user_added_to_a_copy_stays(tmp_path: Path, database: str):
    from mlflow.tracking import MlflowClient

    folder, client = write_run(tmp_path / "symile-0"), MlflowClient(database)
    first = sync_run(Run(folder), uri=database).run_id
    client.log_metric(first, "external/auroc", 0.77)  # pyright: ignore[reportArgumentType]
    client.set_tag(first, "reviewed_by", "Dr X")  # pyright: ignore[reportArgumentType]
    client.set_tag(first, "mlflow.note.content", "chosen for the paper")  # pyright: ignore[reportArgumentType]
    client.update_run(first, name="the best")  # pyright: ignore[reportArgumentType]

    def check() -> str:
        copy = parent_of(database)
        assert copy.data.metrics["external/auroc"] == 0.77
        assert copy.data.tags["reviewed_by"] == "Dr X"
        assert copy.data.tags["mlflow.note.content"] == "chosen for the paper"
        assert copy.info.run_name == "the best"
        return copy.info.run_id

    rows = [replace(row, value=0.71) for row in RESULTS]
    write_rows(folder / "results.jsonl", rows)
    assert sync_run(Run(folder), uri=database).problem is None
    assert check() == first
    # Numbers that a sync sent are gone now: the copy is made anew, with what the user added.
    write_rows(folder / "results.jsonl", rows[:1])
    second = sync_run(Run(folder), uri=database).run_id
    assert check() == second != first
    assert not any("without-ecg" in name for name in parent_of(database).data.metrics)
    children = [run for run in runs_of(database) if "mlflow.parentRunId" in run.data.tags]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {second}


def test_a_driver_that_is_not_installed_is_named_and_training_goes_on(tmp_path: Path):
    pytest.importorskip("sqlalchemy")
    uri = "postgresql+psycopg2://u:secret@127.0.0.1:1/db"
    if importlib.util.find_spec("psycopg2"):
        pytest.skip("psycopg2 is installed here; this tries what happens without it")
    found = sync_run(Run(write_run(tmp_path / "symile-0")), uri=uri)
    assert found.run_id is None
    assert "Install psycopg2, then sync it again" in str(found.problem)
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
        assert copy.data.metrics["retrieval/cxr_given_ecg_labs/complete/recall_at_1"] == 0.7


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
    assert not list(tmp_path.glob("*.lock"))
    assert not list(tmp_path.glob(".mlflow*"))
