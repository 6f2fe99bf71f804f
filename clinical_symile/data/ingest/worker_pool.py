"""Samples read by one process per core; a file that kills its process costs itself alone."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Any

PART = 32  # samples read at a time
FEW = 400  # up to so many, one process is done before several have started
AHEAD = 4  # parts per process that are handed out at a time

Verdict = dict[str, Any]


# `read(first, rows, modalities)`: the verdict on samples that follow one another, from `first` on,
# as to some modalities or, without the third, all. It is pickled.
Read = Callable[..., Verdict]
# The rows of the part that begins there.
RowsOf = Callable[[int], list[dict[str, Any]]]
# The verdict on a recording whose process died: the sample's place, its row, the modality.
Died = Callable[[int, dict[str, Any], str], Verdict]


def map_chunks(
    read: Read,
    firsts: Sequence[int],
    rows: RowsOf,
    *,
    processes: int,
    modalities: Sequence[str],
    died: Died,
) -> Iterator[Verdict]:
    """The verdict on every part, in whatever order they are done.

    Args:
        read: reads one part.
        firsts: where the parts begin.
        rows: gives the samples of a part.
        processes: how many at most.
        modalities: what is read of a sample.
        died: the verdict on a recording whose process died among others, and again alone.
    """
    left = list(firsts)
    processes = min(processes, len(left))
    if processes <= 1 or len(left) * PART <= FEW:
        for first in left:
            yield read(first, rows(first))
        return
    while left:
        running: set[int] = set()
        finished: set[int] = set()
        try:
            for first, verdict in _together(read, left, rows, processes=processes, running=running):
                finished.add(first)
                yield verdict
        except BrokenProcessPool:
            suspects = sorted(running - finished)
            for first in suspects:
                yield _alone(read, first, rows, modalities=modalities, died=died)
            finished |= set(suspects)
        left = [first for first in left if first not in finished]


def _together(
    read: Read, firsts: Sequence[int], rows: RowsOf, *, processes: int, running: set[int]
) -> Iterator[tuple[int, Verdict]]:
    """Parts by several processes; `running` is what was handed out."""
    with _pool(processes) as pool:
        waiting: dict[Future[Verdict], int] = {}
        try:
            for first in firsts:
                running.add(first)
                waiting[pool.submit(read, first, rows(first))] = first
                if len(waiting) >= AHEAD * processes:
                    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                        yield waiting.pop(future), future.result()
            for future in list(waiting):
                yield waiting.pop(future), future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _alone(
    read: Read, first: int, rows: RowsOf, *, modalities: Sequence[str], died: Died
) -> Verdict:
    """One part, sample by sample, so that what kills the process is found."""
    verdicts = []
    pool = _pool(1)
    try:
        for place, row in enumerate(rows(first), start=first):
            try:
                verdicts.append(pool.submit(read, place, [row]).result())
                continue
            except BrokenProcessPool:
                pool = _pool(1)
            for modality in modalities:
                try:
                    verdicts.append(pool.submit(read, place, [row], [modality]).result())
                except BrokenProcessPool:
                    pool = _pool(1)
                    verdicts.append(died(place, row, modality))
    finally:
        pool.shutdown()
    return _merged(first, verdicts)


def _merged(first: int, verdicts: Sequence[Mapping[str, Any]]) -> Verdict:
    """Verdicts on single samples, or on single modalities of one, as that on a part."""
    chosen: dict[int, list[int]] = {}
    for verdict in verdicts:
        (line,) = verdict["chosen"]
        other = chosen.get(verdict["first"]) or line
        chosen[verdict["first"]] = [max(pair) for pair in zip(line, other, strict=True)]
    told = {key: [line for v in verdicts for line in v[key]] for key in ("rejected", "noted")}
    return {"first": first, "chosen": list(chosen.values()), **told}


def _pool(processes: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_end_with_parent
    )


def _end_with_parent() -> None:
    """See to it that this process does not outlive the one that hands out its work."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=[parent], daemon=True).start()


def _watch(parent: Any) -> None:
    parent.join()
    os._exit(1)
