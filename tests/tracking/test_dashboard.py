"""MLflow's page on the database of a folder."""

import contextlib
import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from clinical_symile.errors import ClinicalSymileError, DataError
from clinical_symile.tracking.dashboard import move_files, runs_page, show_dashboard
from clinical_symile.tracking.mlflow import sync_run
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.tracking_uri import tracking_uri
from tests.helpers.mlflow_runs import BY_HAND, files_of, parent_of, write_run
from tests.helpers.mlflow_servers import free_port

pytestmark = BY_HAND


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one run, and the database that it was copied to."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "demo"
    assert sync_run(Run(write_run(folder / "symile-0"))).problem is None
    return folder


def test_a_folder_without_a_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no mlflow\.db.*clinical-symile sync"):
        show_dashboard(tmp_path)


def test_a_port_that_is_taken_is_refused(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ClinicalSymileError, match=f"port {port}: cannot be used"):
            show_dashboard(folder, port=port)


def test_files_are_found_after_the_folder_was_moved(folder: Path, tmp_path: Path) -> None:
    before = files_of(tracking_uri(folder), parent_of(tracking_uri(folder)).info.run_id)
    moved = tmp_path / "moved here"
    folder.rename(moved)
    run_id = parent_of(tracking_uri(moved)).info.run_id
    assert files_of(tracking_uri(moved), run_id) == set(), "MLflow looks where they were"
    assert move_files((moved / "mlflow.db").resolve()) == 3  # two experiments and a run
    assert files_of(tracking_uri(moved), run_id) == before != set()
    assert move_files((moved / "mlflow.db").resolve()) == 0
    assert sync_run(Run(moved / "symile-0"), uri=tracking_uri(moved)).problem is None


def test_files_of_a_folder_that_was_copied_stay_where_they_are(
    folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    assert move_files((tmp_path / "copy" / "mlflow.db").resolve()) == 0


def test_the_page_is_that_of_the_cohort_or_of_all_cohorts(folder: Path) -> None:
    database = (folder / "mlflow.db").resolve()
    query = "?workflowType=machine_learning&viewStateShareKey=clinical-symile"
    assert runs_page(database) == f"#/experiments/1/runs{query}"
    other = write_run(folder / "clip-0", cohort="another")
    assert sync_run(Run(other)).problem is None
    assert runs_page(database) == "#/experiments"


@pytest.mark.parametrize("place", ["s3://bucket/mlartifacts/1", "/gone/other/1"])
def test_places_that_are_no_moved_files_stay(folder: Path, place: str) -> None:
    database = (folder / "mlflow.db").resolve()
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE experiments SET artifact_location = ?", (place,))
        connection.commit()
        assert move_files(database) == 0
        assert set(connection.execute("SELECT artifact_location FROM experiments")) == {(place,)}


def test_places_stay_where_the_files_did_not_come_along(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    shutil.move(folder / "mlflow.db", tmp_path / "alone")
    shutil.rmtree(folder)
    assert move_files((tmp_path / "alone" / "mlflow.db").resolve()) == 0


def test_nothing_waits_for_a_benchmark_that_runs_in_the_folder(folder: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from clinical_symile.files import lock_folder\n"
        "with lock_folder(Path(sys.argv[1])): print('locked', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        assert move_files((folder / "mlflow.db").resolve()) == 0
        assert other.poll() is None
    finally:
        other.kill()
        other.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_the_runs_until_it_is_ended(folder: Path, sign: signal.Signals) -> None:
    port = free_port()
    command = [sys.executable, "-m", "clinical_symile", "dashboard", str(folder)]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--no-browser"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        shown = process.stdout.readline()
        assert f"http://127.0.0.1:{port}/#/experiments/1/runs" in shown
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/2.0/mlflow/runs/search",
            data=json.dumps({"experiment_ids": ["1"]}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert len(json.load(answer)["runs"]) == 1
        process.send_signal(sign)
        assert process.wait(timeout=240) == 0
        with pytest.raises(ConnectionRefusedError), contextlib.closing(socket.socket()) as probe:
            probe.connect(("127.0.0.1", port))
    finally:
        process.kill()
        process.communicate()
