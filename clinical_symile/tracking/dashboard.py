"""Start MLflow's page on the database of a benchmark or a folder of runs."""

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from clinical_symile.errors import ClinicalSymileError, DataError
from clinical_symile.files import lock_folder
from clinical_symile.tracking._mlflow_view import VIEW_QUERY, VIEW_TAG
from clinical_symile.tracking.snapshot import sqlite_uri

DATABASE = "mlflow.db"
_FILES = "mlartifacts"
_HOST = "127.0.0.1"
_START_S = 120
_END_S = 10
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
    try:
        move_files(database)
        page = runs_page(database)
    except sqlite3.Error as error:
        raise DataError(
            f"{database}: cannot be read as a database of MLflow ({error}). Move it away; "
            "`clinical-symile sync` makes a new one from the folders of the runs.",
            code="CS-L003",
        ) from None
    command = [sys.executable, "-m", "mlflow", "ui", "--host", _HOST, "--port", str(port)]
    command += ["--backend-store-uri", sqlite_uri(database)]
    with tempfile.TemporaryFile() as said:
        # In a process group of its own: all that MLflow starts ends with it.
        process = subprocess.Popen(
            command,
            env=os.environ | _QUIET,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
        try:
            if not _is_served(process, port):
                said.seek(0)
                lines = said.read().decode(errors="replace").strip().splitlines()
                raise ClinicalSymileError(
                    f"MLflow's page did not start: {lines[-1] if lines else 'it said nothing'}. "
                    "Try `mlflow ui` by hand.",
                    code="CS-L004",
                )
            on_start(f"http://{_HOST}:{port}/{page}")
            process.wait()
        finally:
            _end(process)


def runs_page(database: Path) -> str:
    """Return the path of the page of all runs; of all cohorts where there are several.

    A page of runs has columns for the headline numbers, if a sync of 0.2.4 or later sent them.
    """
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "SELECT experiment_id FROM experiments WHERE lifecycle_stage = 'active' "
            "AND experiment_id IN (SELECT experiment_id FROM runs)"
        ).fetchall()
        wanted = "SELECT experiment_id FROM experiment_tags WHERE key = ?"
        viewed = connection.execute(wanted, (VIEW_TAG,)).fetchall()
    if len(rows) != 1:
        return "#/experiments"
    return f"#/experiments/{rows[0][0]}/runs{VIEW_QUERY if rows[0] in viewed else ''}"


def move_files(database: Path) -> int:
    """Correct the places of files beside a database that was moved together with them.

    Only places below another folder's `mlartifacts` change, and only if that folder is gone and
    this one has files.

    Args:
        database: an SQLite database of MLflow.

    Returns:
        The number of experiments and runs whose place was corrected.
    """
    with contextlib.closing(sqlite3.connect(database)) as connection:
        moved = [
            (table, column, row, new)
            for table, column in _PLACES.items()
            for row, place in connection.execute(f"SELECT rowid, {column} FROM {table}").fetchall()
            if (new := _new_place(str(place), database.parent / _FILES)) is not None
        ]
        # Only then the lock, which a benchmark that runs holds until its end.
        with lock_folder(database.parent) if moved else contextlib.nullcontext():
            for table, column, row, new in moved:
                change = f"UPDATE {table} SET {column} = ? WHERE rowid = ?"
                connection.execute(change, (new, row))
            connection.commit()
    return len(moved)


def _new_place(place: str, files: Path) -> str | None:
    """Return where files of another folder are now; None if they did not move to this one."""
    before, found, rest = place.partition(f"/{_FILES}/")
    is_local = before.startswith(("/", "file:///"))
    old = Path(unquote(before.removeprefix("file://"))) / _FILES
    if not found or not is_local or old == files or old.exists() or not files.is_dir():
        return None
    return f"{files.as_uri()}/{rest}"


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


def _is_served(process: "subprocess.Popen[bytes]", port: int) -> bool:
    """Wait until the page answers; return False if it does not."""
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://{_HOST}:{port}/health", timeout=1).close()
            return True
        time.sleep(0.1)
    return False


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End MLflow and all that it started: as an operator does, then at once."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_END_S)
