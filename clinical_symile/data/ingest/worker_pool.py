"""Read chunks of samples in one process per core and survive a process that dies.

If a process dies, the chunks in progress are read again, sample by sample and then modality by
modality. Then only the file that killed the process is rejected. Where a single process reads
and dies, the next call does so with the chunk that it had begun.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    as_completed,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from clinical_symile.errors import DataError
from clinical_symile.files import write_text

CHUNK_SIZE = 32  # samples in one chunk
SINGLE_PROCESS_LIMIT = 400  # up to this many samples one process is faster than starting several
START_LIMIT_S = 600.0  # within it a process must have imported what it needs
_CHUNKS_AHEAD = 4  # chunks per process that are handed out at a time

_Verdict = dict[str, Any]
# `read(first, rows, modalities)`: the verdict on consecutive samples that begin with number
# `first`; on all modalities if `modalities` is not given. It must be picklable.
_ReadChunk = Callable[..., _Verdict]
_RowsOf = Callable[[int], list[dict[str, Any]]]  # the rows of the chunk that begins with a sample
# The verdict on a recording whose process died, from the sample's number, its row, the modality.
_CrashVerdict = Callable[[int, dict[str, Any], str], _Verdict]


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_chunks(
    read: _ReadChunk,
    firsts: Sequence[int],
    rows: _RowsOf,
    *,
    processes: int,
    modalities: Sequence[str],
    died: _CrashVerdict,
    begun: Path,
) -> Iterator[_Verdict]:
    """Yield the verdict on every chunk, in the order in which they finish.

    Args:
        read: reads one chunk.
        firsts: the number of each chunk's first sample.
        rows: returns the rows of a chunk.
        processes: the largest number of processes.
        modalities: the modalities of a sample.
        died: returns the verdict on a recording whose process died twice: with others, and alone.
        begun: file with the number of the chunk that a single process reads now. One that is there
            at first was left by a process that died.

    Raises:
        DataError: processes die before they read anything, or do not start within ten minutes.
    """
    left = list(firsts)
    processes = min(processes, len(left))
    if processes <= 1 or len(left) * CHUNK_SIZE <= SINGLE_PROCESS_LIMIT:
        suspect = _suspect(begun)
        for first in left:
            if first == suspect:
                yield _one_by_one(read, first, rows, modalities=modalities, died=died)
            else:
                yield _read_here(read, first, rows, begun)
        begun.unlink(missing_ok=True)
        return
    while left:
        running: set[int] = set()
        finished: set[int] = set()
        try:
            for first, verdict in _in_parallel(
                read, left, rows, processes=processes, running=running
            ):
                finished.add(first)
                yield verdict
        except BrokenProcessPool:
            suspects = sorted(running - finished)
            for first in suspects:
                yield _one_by_one(read, first, rows, modalities=modalities, died=died)
            finished |= set(suspects)
        left = [first for first in left if first not in finished]


def _suspect(begun: Path) -> int | None:
    """Return the chunk that a process had begun when it died; None if the file does not say it.

    Without it, the chunk is read as all others. If a recording of it kills this process, too, the
    file is there again.
    """
    try:
        return int(begun.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _read_here(read: _ReadChunk, first: int, rows: _RowsOf, begun: Path) -> _Verdict:
    """Read a chunk in this process; if it dies, the file `begun` tells the next one."""
    write_text(begun, str(first))
    try:
        return read(first, rows(first))
    except BaseException:  # this process lives, so no recording killed it
        begun.unlink(missing_ok=True)
        raise


def _in_parallel(
    read: _ReadChunk, firsts: Sequence[int], rows: _RowsOf, *, processes: int, running: set[int]
) -> Iterator[tuple[int, _Verdict]]:
    """Read chunks in several processes; add to `running` each chunk that is handed out."""
    with _pool(processes) as pool:
        waiting: dict[Future[_Verdict], int] = {}
        _wait_for_start(pool, processes)
        try:
            for first in firsts:
                running.add(first)
                waiting[pool.submit(read, first, rows(first))] = first
                if len(waiting) >= _CHUNKS_AHEAD * processes:
                    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                        yield waiting.pop(future), future.result()
            for future in list(waiting):
                yield waiting.pop(future), future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _one_by_one(
    read: _ReadChunk,
    first: int,
    rows: _RowsOf,
    *,
    modalities: Sequence[str],
    died: _CrashVerdict,
) -> _Verdict:
    """Read one chunk sample by sample, to find the recording that kills the process."""
    verdicts = []
    pool = _checked_pool()
    try:
        for place, row in enumerate(rows(first), start=first):
            try:
                verdicts.append(pool.submit(read, place, [row]).result())
                continue
            except BrokenProcessPool:
                pool = _checked_pool()
            for modality in modalities:
                try:
                    verdicts.append(pool.submit(read, place, [row], [modality]).result())
                except BrokenProcessPool:
                    pool = _checked_pool()
                    verdicts.append(died(place, row, modality))
    finally:
        pool.shutdown()
    return _merge_verdicts(first, verdicts)


def _merge_verdicts(first: int, verdicts: Sequence[Mapping[str, Any]]) -> _Verdict:
    """Merge verdicts on single samples, or on single modalities of one, into one on the chunk."""
    stamps = {verdict["first"]: verdict["stamps"][0] for verdict in verdicts}
    kinds = ("rejected", "noted", "recordings")
    lines = {key: [line for v in verdicts for line in v[key]] for key in kinds}
    return {
        **{"first": first, "stamps": [*stamps.values()]},
        **{key: _merge_lines(verdicts, key) for key in ("candidate", "contents")},
        **lines,
    }


def _merge_lines(verdicts: Sequence[Mapping[str, Any]], key: str) -> list[list[Any]]:
    """Return the line of each sample, with the larger entry of each modality: the other is none."""
    merged: dict[int, list[Any]] = {}
    for verdict in verdicts:
        (line,) = verdict[key]
        other = merged.get(verdict["first"]) or line
        merged[verdict["first"]] = [max(pair) for pair in zip(line, other, strict=True)]
    return [*merged.values()]


def _checked_pool() -> ProcessPoolExecutor:
    """Start one process, and see that it lives: one that dies by itself blames no recording.

    Raises:
        DataError: it died before it read anything.
    """
    pool = _pool(1)
    _wait_for_start(pool, 1)
    return pool


def _wait_for_start(pool: ProcessPoolExecutor, processes: int) -> None:
    """Start the processes of a new pool, and wait until one of them answers.

    Raises:
        DataError: the processes died before that, or none answered in time; then they are ended.
    """
    found = ""
    others = set(active_children())
    try:
        started = [pool.submit(os.getpid) for _ in range(processes)]
        for future in as_completed(started, timeout=START_LIMIT_S):
            future.result()
            return
    except BrokenProcessPool:
        found = "die before they read anything"
    except TimeoutError:
        found = f"do not start within {START_LIMIT_S:.0f} s"
        for process in set(active_children()) - others:
            process.kill()
    pool.shutdown(cancel_futures=True)
    raise DataError(
        f"the processes that read recordings {found}; expected that they start. Check the memory "
        "and load of the machine.",
        code="CS-D011",
    )


class _WorkerProcess(SpawnProcess):
    """A new process that does not run the user's script again.

    A spawned process imports the main module. A script without `if __name__ == "__main__":` would
    begin anew there. What our processes run is found by the name of its module.
    """

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802  # the name in multiprocessing
        script, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
        try:
            return SpawnProcess._Popen(process_obj)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        finally:
            sys.modules["__main__"] = script


class _WorkerContext(SpawnContext):
    Process = _WorkerProcess  # pyright: ignore[reportAssignmentType]


def worker_processes(
    processes: int, initializer: Callable[[], None] | None = None
) -> ProcessPoolExecutor:
    """Return a pool of new processes; a script that uses it needs no guard of its main module.

    Args:
        processes: the largest number of processes.
        initializer: called first in each process.
    """
    return ProcessPoolExecutor(processes, mp_context=_WorkerContext(), initializer=initializer)


def _pool(processes: int) -> ProcessPoolExecutor:
    return worker_processes(processes, _exit_with_parent)


def _exit_with_parent() -> None:
    """Make this process exit as soon as the process that hands out its work does."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=[parent], daemon=True).start()


def _watch(parent: Any) -> None:
    parent.join()
    os._exit(1)
