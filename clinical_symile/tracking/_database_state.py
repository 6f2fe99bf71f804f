"""Tell a whole SQLite database of MLflow from one that is half made, older, newer or damaged."""

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from urllib.parse import quote

_HEADER = b"SQLite format 3\0"
_LOCK_WAIT_S = 20
# Tables whose rows somebody put there; a new database has the experiment `Default` (id 0) alone.
_CONTENT = {
    "runs": "SELECT EXISTS(SELECT 1 FROM runs)",
    "experiments": "SELECT EXISTS(SELECT 1 FROM experiments WHERE experiment_id <> 0)",
    "registered_models": "SELECT EXISTS(SELECT 1 FROM registered_models)",
    "trace_info": "SELECT EXISTS(SELECT 1 FROM trace_info)",
}


class DatabaseState(Enum):
    """The state of a database's file."""

    MISSING = "missing"
    WHOLE = "whole"
    HALF_MADE = "half-made"
    OLDER = "older"
    HALF_MIGRATED = "half-migrated"
    NEWER = "newer"
    FOREIGN = "not MLflow's"
    DAMAGED = "damaged"


@dataclass(frozen=True, kw_only=True)
class DatabaseSchema:
    """The schema of the installed MLflow.

    Attributes:
        revisions: names of its migrations, the newest last.
        tables: names of its tables.
    """

    revisions: Sequence[str]
    tables: Collection[str]


def read_database_state(path: Path, schema: DatabaseSchema) -> DatabaseState:
    """Return the state of a database; a half-migrated one with runs in it reads as `OLDER`.

    Args:
        path: the file.
        schema: the schema that a whole one has.

    Raises:
        sqlite3.OperationalError: it cannot be opened, or another process locks it too long.
    """
    if not path.is_file() or path.stat().st_size == 0:
        return DatabaseState.MISSING
    with path.open("rb") as file:
        header = file.read(len(_HEADER))
    if header != _HEADER:
        # A power cut may leave the length of a file without its content.
        return DatabaseState.FOREIGN if any(header) else DatabaseState.HALF_MADE
    try:
        return _state_of_tables(path, schema)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return DatabaseState.DAMAGED
        raise


def _state_of_tables(path: Path, schema: DatabaseSchema) -> DatabaseState:
    # Not read-only: what an interrupted transaction left is undone on opening.
    address = f"file:{quote(path.resolve().as_posix())}?mode=rw"
    connection = sqlite3.connect(address, uri=True, timeout=_LOCK_WAIT_S)
    try:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = {name for (name,) in rows if not name.startswith("sqlite_")}
        found = None
        if "alembic_version" in tables:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        version = None if found is None else found[0]
        if version == schema.revisions[-1]:
            return DatabaseState.WHOLE
        if version is not None and version not in schema.revisions:
            return DatabaseState.NEWER
        known = {*schema.tables, "alembic_version"}
        if version is None and any(
            name not in known and not name.startswith("_alembic_tmp_") for name in tables
        ):
            return DatabaseState.FOREIGN
        for table in _CONTENT.keys() & tables:
            if connection.execute(_CONTENT[table]).fetchone()[0]:
                return DatabaseState.OLDER
        return DatabaseState.HALF_MADE
    finally:
        connection.close()
