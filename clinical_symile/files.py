"""Write files whole, so that a power cut leaves the old or the new, and lock folders.

Every file of a store, run, benchmark or report is written by `write_file`. A test holds this.
"""

import errno
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing import parent_process
from pathlib import Path

PARTIAL = ".partial"


class FolderBusyError(TimeoutError):
    """Another process writes a folder; the text says who and since when."""


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place, flush it to disk, and rename it.

    The folder is created if needed. If `write` fails, the earlier file stays as it was.

    Args:
        path: the file.
        write: called with the path to write to.

    Raises:
        OSError: the disk is full or not writable.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + PARTIAL)
    try:
        write(partial)
        _flush(partial)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    partial.replace(path)
    _flush(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file; see `write_file`."""
    write_file(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a binary file; see `write_file`."""
    write_file(path, lambda partial: partial.write_bytes(content))


def rename_folder(folder: Path, target: Path) -> None:
    """Flush a folder and all that it holds to disk, and rename it.

    Args:
        folder: the finished folder.
        target: its new name, on the same disk; must not exist.
    """
    for path in [folder, *folder.rglob("*")]:
        _flush(path)
    folder.replace(target)
    _flush(target.parent)


@contextmanager
def lock_folder(
    folder: Path,
    *,
    notify: Callable[[str], object] | None = None,
    wait_s: float | None = None,
) -> Iterator[bool]:
    """Let one process at a time write a folder; a second one waits for the first.

    The lock is the file `.<name>.lock` beside the folder. The operating system releases it when
    its process ends, however it ends. The same process may take the lock several times. Processes
    that one training starts on several devices share the lock of the first.

    Args:
        folder: the folder; need not exist.
        notify: told in one sentence who holds the lock, if this process has to wait; by default
            the sentence goes to standard error.
        wait_s: how long to wait for another process, in seconds; None for as long as it takes.

    Yields:
        True if this process held the lock before.

    Raises:
        OSError: the folder's parent cannot be written.
        FolderBusyError: another process held the lock all the time, or the process that started
            this one holds it. That one may wait for this one, so both would wait for ever.
    """
    if int(os.environ.get("LOCAL_RANK") or os.environ.get("RANK") or 0):
        yield True
        return
    from filelock import FileLock, Timeout  # takes longer to import than a small command runs

    folder = folder.absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory", error.filename) from None
    place = folder.with_name(f".{folder.name}.lock")
    holder = folder.with_name(f".{folder.name}.holder")
    lock = FileLock(place, is_singleton=True, thread_local=False)
    is_inner = lock.is_locked
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if _is_held_by_parent(holder):
            raise FolderBusyError(
                f"{folder}: the process that started this one is writing it, so waiting for it may "
                'never end. In a script, call this under `if __name__ == "__main__":`.'
            ) from None
        (notify or _print)(f"{folder}: {_describe(holder)} is writing it; waiting until it ends.")
        try:
            lock.acquire(timeout=-1 if wait_s is None else wait_s)
        except Timeout:
            raise FolderBusyError(f"{folder}: {_describe(holder)} is writing it") from None
    try:
        if not is_inner:
            about = {"process": os.getpid(), "host": socket.gethostname(), "since": _now()}
            holder.write_text(json.dumps(about), encoding="utf-8")
        yield is_inner
    finally:
        if not is_inner:
            holder.unlink(missing_ok=True)
        lock.release()


def _is_held_by_parent(holder: Path) -> bool:
    """Return True if the process that started this one by `multiprocessing` holds a lock."""
    # A process that still imports the main module does not know its parent by `parent_process`.
    if parent_process() is None and "--multiprocessing-fork" not in sys.orig_argv:
        return False
    try:
        about = json.loads(holder.read_text(encoding="utf-8"))
        return (about["process"], about["host"]) == (os.getppid(), socket.gethostname())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _describe(holder: Path) -> str:
    """Return who holds a lock and since when, as far as the file beside it says so."""
    try:
        about = json.loads(holder.read_text(encoding="utf-8"))
        return f"process {about['process']} on {about['host']}, since {about['since']},"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _print(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def _flush(path: Path) -> None:
    """Have the operating system write a file or folder to disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open folders
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
