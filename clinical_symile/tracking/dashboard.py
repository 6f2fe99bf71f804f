"""Start MLflow's page on the database of a benchmark or a folder of runs."""

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from clinical_symile.errors import ClinicalSymileError, DataError
from clinical_symile.files import lock_folder
from clinical_symile.tracking.snapshot import sqlite_uri

DATABASE = "mlflow.db"
_FILES = "mlartifacts"
_HOST = "127.0.0.1"
_START_S = 120
# Columns with the place of files that lie beside the database, by table.
_PLACES = {"experiments": "artifact_location", "runs": "artifact_uri"}
# Without telemetry, and without the processes that only MLflow's own jobs need.
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


def show_dashboard(
    folder: Path, *, port: int = 5000, on_start: Callable[[str], object] = lambda address: None
) -> None:
    """Serve MLflow's page on this machine alone, until the process is interrupted.

    If the folder was moved, the places of its files are corrected first: MLflow keeps them as
    absolute paths. Telemetry is off.

    Args:
        folder: of a benchmark, or one that holds runs.
        port: port of the page.
        on_start: called with the address of the page of all runs when it can be opened.

    Raises:
        DataError: the folder has no database.
        ClinicalSymileError: the port is taken, or MLflow does not start.
    """
    database = (folder / DATABASE).resolve()
    if not database.is_file():
        raise DataError(
            f"{folder}: has no {DATABASE}; expected the folder of a benchmark or of runs that were "
            "copied to MLflow. `clinical-symile sync` copies them; runs on a server are on its "
            "own page.",
            code="CS-L003",
        )
    _check_port(port)
    move_files(database)
    command = [sys.executable, "-m", "mlflow", "ui", "--host", _HOST, "--port", str(port)]
    command += ["--backend-store-uri", sqlite_uri(database)]
    process = subprocess.Popen(
        command, env=os.environ | _QUIET, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        _wait_until_served(process, port)
        on_start(f"http://{_HOST}:{port}/{runs_page(database)}")
        process.communicate()
    finally:
        process.terminate()
        process.communicate()


def runs_page(database: Path) -> str:
    """Return the path of the page of all runs; of all cohorts where there are several."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "SELECT experiment_id FROM experiments WHERE lifecycle_stage = 'active' "
            "AND experiment_id IN (SELECT experiment_id FROM runs)"
        ).fetchall()
    return f"#/experiments/{rows[0][0]}/runs" if len(rows) == 1 else "#/experiments"


def move_files(database: Path) -> int:
    """Correct the places of files beside a database that was moved together with them.

    Only places below another folder's `mlartifacts` change, and only where that folder is gone.

    Args:
        database: an SQLite database of MLflow.

    Returns:
        The number of experiments and runs whose place was corrected.
    """
    now = database.parent / _FILES
    moved = 0
    with lock_folder(database.parent), contextlib.closing(sqlite3.connect(database)) as connection:
        for table, column in _PLACES.items():
            for row, place in connection.execute(f"SELECT rowid, {column} FROM {table}").fetchall():
                before, found, rest = str(place).partition(f"/{_FILES}/")
                old = Path(unquote(before.removeprefix("file://"))) / _FILES
                if not found or old == now or old.exists():
                    continue
                change = f"UPDATE {table} SET {column} = ? WHERE rowid = ?"
                connection.execute(change, (f"{now.as_uri()}/{rest}", row))
                moved += 1
        connection.commit()
    return moved


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise ClinicalSymileError(
                f"port {port}: cannot be used ({error.strerror}). Choose another by --port.",
                code="CS-L004",
            ) from None


def _wait_until_served(process: "subprocess.Popen[bytes]", port: int) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://{_HOST}:{port}/health", timeout=1).close()
            return
        time.sleep(0.1)
    process.terminate()
    said = process.communicate()[1].decode(errors="replace").strip().splitlines()
    raise ClinicalSymileError(
        f"MLflow's page did not start: {said[-1] if said else 'it said nothing'}. Try `mlflow ui` "
        "by hand.",
        code="CS-L004",
    )
