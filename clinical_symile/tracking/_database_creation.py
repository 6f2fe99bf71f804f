"""Let one process make an MLflow database in SQLite, and replace one that was left half made."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from clinical_symile.files import PARTIAL, write_file
from clinical_symile.hashing import payload_digest
from clinical_symile.tracking._database_state import (
    DatabaseSchema,
    DatabaseState,
    read_database_state,
)
from clinical_symile.tracking._sync_problems import SyncError
from clinical_symile.tracking.snapshot import SQLITE, sqlite_path, sqlite_uri
from clinical_symile.tracking.tracking_uri import without_credentials

_DEFAULT_NAME = "mlflow.db"
_LONGEST_WAIT_S = 300
# A database that another program makes right now changes more often than this.
_STILL_S, _POLL_S = 5.0, 0.2
_UNFINISHED = (DatabaseState.HALF_MADE, DatabaseState.OLDER, DatabaseState.DAMAGED)
_DATABASES = ("postgresql", "mysql", "mssql")


@dataclass(frozen=True, kw_only=True)
class DatabaseMaker:
    """MLflow's part in making a database.

    Attributes:
        schema: the schema of the installed MLflow.
        create: makes the tables of an empty database, given its URI.
        upgrade: migrates a database to the newest schema, given its URI.
        version: of the installed MLflow.
    """

    schema: DatabaseSchema
    create: Callable[[str], object]
    upgrade: Callable[[str], object]
    version: str


def ensure_database(uri: str, maker: Callable[[], DatabaseMaker]) -> Path | None:
    """Make an SQLite database that does not exist or was left half made.

    It is made under another name and renamed, so that another process sees none or a whole one.
    A half-made one is renamed and kept. Processes on one machine that make the tables of another
    database at once take turns.

    Args:
        uri: tracking URI; nothing is done for a server.
        maker: returns MLflow's part; called only where there is a database to look at.

    Returns:
        Where a half-made database was put, if there was one.

    Raises:
        SyncError: the database is not MLflow's, of another version, or damaged.
        OSError: the folder cannot be written, or the wait was too long.
    """
    path = _file(uri)
    if path is None:
        if uri.startswith(_DATABASES):
            place = Path(tempfile.gettempdir())
            name = f"clinical-symile-{payload_digest(without_credentials(uri))[:16]}.lock"
            with FileLock(place / name, timeout=_LONGEST_WAIT_S):
                maker().create(uri)
        return None
    made_by = maker()
    if read_database_state(path, made_by.schema) is DatabaseState.WHOLE:
        return None
    lock = path.with_name(path.name + ".lock")
    with FileLock(lock, timeout=_LONGEST_WAIT_S):
        state, aside = _settled_state(path, made_by), None
        if state is not DatabaseState.WHOLE:
            if state is not DatabaseState.MISSING:
                aside = _set_aside(path, state, made_by)
            _create(path, made_by)
        # Who waited for this lock finds the database; a lock made anew guards nothing any more.
        lock.unlink(missing_ok=True)
    return aside


def _file(uri: str) -> Path | None:
    """Return the file of an SQLite database in a folder that exists."""
    path = sqlite_path(uri)
    if path is None or str(path) in (".", ":memory:"):
        return None
    return path if path.parent.is_dir() else None


def _create(path: Path, maker: DatabaseMaker) -> None:
    """Make a database under another name, and rename it."""
    # What a process left that was killed while it made one.
    for file in path.parent.glob(f"{path.name}{PARTIAL}*"):
        file.unlink(missing_ok=True)
    write_file(path, lambda partial: maker.create(sqlite_uri(partial.resolve())))


def _settled_state(path: Path, maker: DatabaseMaker) -> DatabaseState:
    """Return the state of a database after any other program that makes it has finished."""
    last, since = None, time.monotonic()
    while (state := read_database_state(path, maker.schema)) in _UNFINISHED:
        content = path.stat().st_mtime_ns, path.stat().st_size
        if content != last:
            last, since = content, time.monotonic()
        elif time.monotonic() - since > _STILL_S:
            break
        time.sleep(_POLL_S)
    if state is DatabaseState.OLDER and not _can_be_upgraded(path, maker):
        return DatabaseState.HALF_MIGRATED
    return state


def _can_be_upgraded(path: Path, maker: DatabaseMaker) -> bool:
    """Return whether MLflow can migrate a copy of a database."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        try:
            maker.upgrade(sqlite_uri(copy))
        except Exception:  # whatever a migration raises on half of a schema
            return False
        return read_database_state(copy, maker.schema) is DatabaseState.WHOLE


def _set_aside(path: Path, state: DatabaseState, maker: DatabaseMaker) -> Path:
    """Rename a database that cannot be used, if that can lose nothing.

    Raises:
        SyncError: it is not ours to rename.
    """
    move = f"Move {path} away; every run is copied again from its folder"
    if state is DatabaseState.FOREIGN:
        raise SyncError(
            f"{path} is not a database of MLflow", "Name another database by MLFLOW_TRACKING_URI"
        )
    if state is DatabaseState.NEWER:
        raise SyncError(
            f"the database was made by a newer MLflow than {maker.version}", "Update mlflow"
        )
    if state is DatabaseState.OLDER:
        raise SyncError(
            f"the database was made by an older MLflow than {maker.version}",
            f"Run `mlflow db upgrade {sqlite_uri(path)}`",
        )
    is_default = path.name == _DEFAULT_NAME and SQLITE not in os.environ.get(
        "MLFLOW_TRACKING_URI", ""
    )
    if state is not DatabaseState.HALF_MADE and not is_default:
        raise SyncError(f"the database is {state.value}", move)
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    aside = path.with_name(f"{path.name}.{state.value}-{moment}")
    for end in ("-journal", "-wal", "-shm", ""):
        file = path.with_name(path.name + end)
        if file.exists():
            file.replace(aside.with_name(aside.name + end))
    return aside
