"""Let one process make MLflow's default database while the others wait."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from filelock import FileLock

from clinical_symile.tracking.snapshot import sqlite_path, sqlite_uri

_LONGEST_WAIT_S = 300


def ensure_database(uri: str, create: Callable[[str], object]) -> None:
    """Make an SQLite database that does not exist yet; other processes wait for it.

    It is made under another name and renamed, so that a process sees none or a whole one.

    Args:
        uri: tracking URI; nothing is done for a server or an existing database.
        create: makes a database, given its URI.

    Raises:
        OSError: the folder cannot be written, or the wait was too long.
    """
    path = _missing_file(uri)
    if path is None:
        return
    lock = path.with_name(path.name + ".lock")
    with FileLock(lock, timeout=_LONGEST_WAIT_S):
        if not _has_content(path):
            aside = path.with_name(f".{path.name}.{uuid4().hex}")
            try:
                create(sqlite_uri(aside))
                aside.replace(path)
            finally:
                for file in path.parent.glob(f"{aside.name}*"):
                    file.unlink(missing_ok=True)
        # Who waited for this lock finds the database; a lock made anew guards nothing any more.
        lock.unlink(missing_ok=True)


def _missing_file(uri: str) -> Path | None:
    """Return the file of an SQLite database that does not exist in a folder that does."""
    path = sqlite_path(uri)
    if path is None or str(path) in (".", ":memory:"):
        return None
    return path if path.parent.is_dir() and not _has_content(path) else None


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
