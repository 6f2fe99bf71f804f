"""Write files whole and for their owner alone, keep their checksums, and lock folders.

Every file of a store, run, benchmark or report is written by `write_file`. A test holds this.
"""

import errno
import json
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from clinical_symile.tracking.checksums import (
    CHECKSUMS_FILE,
    Checksum,
    as_line,
    checksum_of,
    fitting_lines,
    is_left_out,
    is_package_file,
    kept_lines,
    read_checksums,
    sealed_text,
    unlisted_files,
)
from clinical_symile.tracking.lock_holder import (
    describe_holder,
    is_further_process,
    is_held_by_parent,
)

PARTIAL = ".partial"
# If this variable is `read`, the group may read what is written: 0640 and 0750.
SHARE_VARIABLE = "CLINICAL_SYMILE_GROUP"
_GROUP_MAY_READ = "read"
_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP)
_NO_LOCKS = "its file system has no locks, without which two commands at once may spoil it"
_STATED_NUMBER = re.compile(r"\(os error (\d+)\)")


@dataclass(frozen=True)
class _LockedFolder:
    """A folder that this process has locked.

    Attributes:
        folder: the folder.
        written: the files whose last checksum is certain.
        begun: the files that this process has begun to write.
    """

    folder: Path
    written: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)


_locked_folders: list[_LockedFolder] = []  # the innermost last


@contextmanager
def private_files() -> Iterator[None]:
    """Create files and folders for their owner alone, whatever the umask of the process.

    With `CLINICAL_SYMILE_GROUP=read` in the environment, the group may read them as well.
    """
    may_read = os.environ.get(SHARE_VARIABLE) == _GROUP_MAY_READ
    before = os.umask(0o027 if may_read else 0o077)
    try:
        yield
    finally:
        os.umask(before)


def make_folder(folder: Path) -> None:
    """Create a folder with its parents for their owner alone; one that exists stays as it is."""
    with private_files():
        folder.mkdir(parents=True, exist_ok=True)


class FolderBusyError(TimeoutError):
    """Another process writes a folder; the text says who and since when."""


class FolderHeldByParentError(FolderBusyError):
    """The process that started this one writes a folder, and may wait for this one."""


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place, flush it to disk, and rename it.

    The folder is created if needed. If `write` fails, the earlier file stays as it was. The
    file's checksum is recorded before the rename, if this process has locked a folder above it or
    the folder's checksums list it.

    Args:
        path: the file.
        write: called with the path to write to.

    Raises:
        OSError: the disk is full or not writable.
    """
    make_folder(path.parent)
    partial = path.with_name(path.name + PARTIAL)
    with _lock_listing_folder(path):
        try:
            with private_files(), _named(path):
                write(partial)
                _flush(partial)
                _record(path, partial)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        _mark_written(path)
        _flush(path.parent)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file in an error of the operating system that does not, such as a full disk's.

    Libraries written in Rust state the error's number in their text alone.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
    except Exception as error:
        stated = _STATED_NUMBER.search(str(error))
        if stated is None:
            raise
        raise OSError(int(stated[1]), os.strerror(int(stated[1])), str(path)) from error


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file; see `write_file`."""
    write_file(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a binary file; see `write_file`."""
    write_file(path, lambda partial: partial.write_bytes(content))


def remove_file(path: Path) -> None:
    """Remove a file, if it exists, and record that it was removed on purpose."""
    if path.exists():
        with _lock_listing_folder(path):
            _record(path, None)
            path.unlink()
            _mark_written(path)


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


def write_checksums(folder: Path, known: Mapping[str, str] | None = None) -> None:
    """Write `checksums.jsonl` for a folder as it is; folders below with their own are left out.

    Files of your own, such as notes and pictures, are left out too.

    Args:
        folder: a finished store, run or benchmark.
        known: checksums that were computed already, by path below the folder.
    """
    (folder / CHECKSUMS_FILE).unlink(missing_ok=True)
    lines = []
    for path in filter(is_package_file, unlisted_files(folder)):
        file = path.relative_to(folder).as_posix()
        if file in (known or {}):
            lines.append(Checksum(file, path.stat().st_size, (known or {})[file]))
        else:
            lines.append(checksum_of(path, file))
    _replace(folder / CHECKSUMS_FILE, sealed_text(lines))


@contextmanager
def lock_folder(
    folder: Path,
    *,
    notify: Callable[[str], object] | None = None,
    wait_s: float | None = None,
) -> Iterator[bool]:
    """Let one process at a time write a folder; a second one waits for the first.

    The lock is the file `.<name>.lock` beside the folder: the folder itself may not exist yet, and
    is renamed and removed while it is locked. The empty file stays, because a process that waits
    for it would otherwise hold a lock that no other process sees. The operating system releases it
    when the process ends, however it ends. The same process may take the lock several times.
    Processes that one training starts on several devices share the lock of the first.

    What `write_file` writes below the folder while it is locked has its checksum in
    `checksums.jsonl` of the folder.

    Args:
        folder: the folder; need not exist.
        notify: told in one sentence who holds the lock, if this process has to wait; by default
            the sentence goes to standard error.
        wait_s: how long to wait for another process, in seconds; None for as long as it takes.

    Yields:
        True if this process held the lock before.

    Raises:
        OSError: the folder's parent cannot be written, or its file system has no locks.
        FolderBusyError: another process held the lock all the time, or the process that started
            this one holds it. That one may wait for this one, so both would wait for ever.
    """
    if is_further_process():
        yield True
        return
    from filelock import FileLock, Timeout  # takes longer to import than a small command runs

    folder = folder.absolute()
    try:
        make_folder(folder.parent)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory", error.filename) from None
    place = folder.with_name(f".{folder.name}.lock")
    holder = folder.with_name(f".{folder.name}.holder")
    mode = 0o640 if os.environ.get(SHARE_VARIABLE) == _GROUP_MAY_READ else 0o600
    lock = FileLock(place, is_singleton=True, thread_local=False, mode=mode)
    is_inner = lock.is_locked
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if is_held_by_parent(holder):
            raise FolderHeldByParentError(
                f"{folder}: the process that started this one is writing it, so waiting for it may "
                'never end. In a script, call this under `if __name__ == "__main__":`.'
            ) from None
        (notify or _print)(
            f"{folder}: {describe_holder(holder)} is writing it; waiting until it ends."
        )
        try:
            lock.acquire(timeout=-1 if wait_s is None else wait_s)
        except Timeout:
            raise FolderBusyError(f"{folder}: {describe_holder(holder)} is writing it") from None
    except (NotImplementedError, OSError) as error:
        # An older filelock says by `NotImplementedError` that a file system cannot lock.
        if getattr(error, "errno", errno.ENOSYS) not in _WITHOUT_LOCKS:
            raise
        raise OSError(errno.ENOLCK, _NO_LOCKS, str(folder)) from error
    try:
        if is_inner:
            yield True
        else:
            with private_files(), _recorded(folder):
                about = {"process": os.getpid(), "host": socket.gethostname(), "since": _now()}
                holder.write_text(json.dumps(about), encoding="utf-8")
                yield False
    finally:
        if not is_inner:
            holder.unlink(missing_ok=True)
        lock.release()


@contextmanager
def _recorded(folder: Path) -> Iterator[None]:
    """Record the checksums of the files that are written below a folder."""
    locked = _LockedFolder(folder)
    _locked_folders.append(locked)
    try:
        yield
    finally:
        _locked_folders.remove(locked)
        log = folder / CHECKSUMS_FILE
        if locked.begun and log.is_file():  # a run may be removed while it is locked
            known = read_checksums(folder) or {}
            _replace(log, sealed_text(kept_lines(known, locked.written)))


def _lock_listing_folder(path: Path) -> AbstractContextManager[object]:
    """Return the lock of the folder whose checksums list a file, unless it lies in a locked one.

    So a page or table that is written again later, on its own, has its new checksum.
    """
    if _locate_in_locked_folder(path) is None:
        path = path.absolute()
        for folder in path.parents:
            if (folder / CHECKSUMS_FILE).is_file():
                listed = path.relative_to(folder).as_posix() in (read_checksums(folder) or {})
                return lock_folder(folder) if listed else nullcontext()
    return nullcontext()


def _locate_in_locked_folder(path: Path) -> tuple[_LockedFolder, str] | None:
    """Return the innermost locked folder above a path and the path below it; None if there is none.

    A benchmark locks its folder while `prepare` locks the store in it. What `prepare` writes beside
    the store, and renames later, belongs to neither, and nor do raw files.
    """
    path = path.absolute()
    above = [one for one in _locked_folders if path.is_relative_to(one.folder)]
    if not above:
        return None
    innermost = max(above, key=lambda one: len(one.folder.parts))
    file = path.relative_to(innermost.folder)
    if any(is_left_out(Path(part)) for part in file.parts):
        return None
    return innermost, file.as_posix()


def _record(path: Path, partial: Path | None) -> None:
    """Append the checksum of a file that is about to be written, or removed if there is none."""
    place = _locate_in_locked_folder(path)
    if place is None:
        return
    locked, file = place
    log = locked.folder / CHECKSUMS_FILE
    line = Checksum(file, None, None) if partial is None else checksum_of(partial, file)
    if not log.is_file():
        _replace(log, sealed_text([]))
    elif not locked.begun or (file in locked.begun and file not in locked.written):
        _settle(locked.folder)
    locked.begun.add(file)
    locked.written.discard(file)
    length = log.stat().st_size
    try:
        with log.open("ab") as stream:
            stream.write(as_line(line).encode())
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        os.truncate(log, length)  # half a line would spoil the next one
        raise


def _mark_written(path: Path) -> None:
    """Note that a file's last checksum is that of its content."""
    place = _locate_in_locked_folder(path)
    if place is not None:
        place[0].written.add(place[1])


def _settle(folder: Path) -> None:
    """Drop the lines of writes that were interrupted, so that no file ever has more than two.

    Of each file with several lines, only those are kept that fit the file as it is.
    """
    log = folder / CHECKSUMS_FILE
    known = read_checksums(folder) or {}
    if log.read_bytes().endswith(b"\n") and all(len(lines) == 1 for lines in known.values()):
        return
    kept = [one for file, lines in known.items() for one in fitting_lines(folder / file, lines)]
    _replace(log, sealed_text(kept))


def _replace(path: Path, content: bytes) -> None:
    """Replace a file of checksums; see `write_file`."""
    partial = path.with_name(path.name + PARTIAL)
    with private_files(), _named(path):
        partial.write_bytes(content)
        _flush(partial)
    partial.replace(path)
    _flush(path.parent)


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
