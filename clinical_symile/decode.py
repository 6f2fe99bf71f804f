"""Recordings to arrays: many at a time, and going on after an interruption."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool, Int

from clinical_symile.cohort import Cohort, modality_adapters
from clinical_symile.errors import DataError
from clinical_symile.machine import cores
from clinical_symile.modalities.modality import Note, Rejected, is_fault, unheard

PART = 32  # samples decoded at a time
FEW = 400  # up to so many, one process is done before several have started
TRIED = 100  # files looked for, all over the cohort, before it is believed that all are elsewhere
JOURNAL = "verdicts.jsonl"
FEWEST = 10  # files that are all missing may be just that; more are elsewhere

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Decoded:
    """What came of reading every sample; the measurements are in `<modality>.npy` of the folder.

    Attributes:
        folder: of the arrays.
        present: True where there is a measurement.
        chosen: which of the sample's candidates it is, from 0; -1 where there is none.
        rejected: row, modality, file, reason and detail of every recording that was not usable.
        noted: row, modality and note of what was done to those that were, or is odd about them.
    """

    folder: Path
    present: Bool[np.ndarray, "sample modality"]
    chosen: Int[np.ndarray, "sample modality"]
    rejected: pd.DataFrame
    noted: pd.DataFrame


def decode(
    cohort: Cohort, rows: pa.Array, *, source: Path, folder: Path, progress: Progress
) -> Decoded:
    """Read every recording into one array per modality.

    What is done is noted in `verdicts.jsonl` of the folder, and not done again.

    Args:
        cohort: whose modalities to read.
        rows: the samples, as structs.
        source: folder of the raw files.
        folder: where arrays and notes are, or will be.
        progress: called with samples read and all samples.

    Raises:
        DataError: `TRIED` files of a modality, drawn from the whole cohort, are not where the
            cohort says, or all of fewer, but at least `FEWEST`; or a process died.
    """
    adapters = modality_adapters(cohort)
    journal = folder / JOURNAL
    if not journal.exists():
        _check_files_are_there(cohort, adapters, rows, source=source)
        for name, adapter in adapters.items():
            create_array(folder / f"{name}.npy", adapter, samples=len(rows))
        journal.touch()
    done = {verdict["first"]: verdict for verdict in _read_journal(journal)}
    firsts = [first for first in range(0, len(rows), PART) if first not in done]
    read = partial(_decode_part, cohort, source, folder)
    with journal.open("a", encoding="utf-8") as stream:
        for verdict in _each(read, firsts, rows):
            stream.write(json.dumps(verdict) + "\n")
            stream.flush()
            done[verdict["first"]] = verdict
            progress(min(len(done) * PART, len(rows)), len(rows))
    verdicts = [done[first] for first in sorted(done)]
    chosen = np.array([line for v in verdicts for line in v["chosen"]], dtype=np.int64)
    return Decoded(
        folder=folder,
        present=chosen >= 0,
        chosen=chosen,
        rejected=_told(verdicts, "rejected", ("row", "modality", "file", "reason", "detail")),
        noted=_told(verdicts, "noted", ("row", "modality", "note")),
    )


def _told(verdicts: list[dict[str, Any]], key: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """What was told of recordings, by row and then in the order of modalities."""
    told = sorted((line for v in verdicts for line in v[key]), key=lambda line: line[0])
    return pd.DataFrame(told, columns=list(columns))


def has_begun(folder: Path) -> bool:
    """Whether anything was decoded that need not be decoded again."""
    journal = folder / JOURNAL
    return journal.exists() and journal.stat().st_size > 0


def create_array(file: Path, adapter: Any, *, samples: int) -> np.memmap:
    """A new array of measurements, all zero and taking no room until it is written to."""
    shape = (samples, *adapter.shape)
    return np.lib.format.open_memmap(file, mode="w+", dtype=np.dtype(adapter.dtype), shape=shape)


def _decode_part(
    cohort: Cohort, source: Path, folder: Path, first: int, rows: list[dict[str, Any]]
) -> dict[str, Any]:
    """Decode some samples that follow one another; runs in a process of its own."""
    chosen = [[-1] * len(cohort.modalities) for _ in rows]
    rejected, noted = [], []
    for column, (name, adapter) in enumerate(modality_adapters(cohort).items()):
        array = np.load(folder / f"{name}.npy", mmap_mode="r+", allow_pickle=False)
        for place, row in enumerate(rows):
            for number, candidate in enumerate(_candidates(cohort, name, row)):
                notes: list[str] = []
                try:
                    measurement = _measurement(adapter, candidate, source, notes.append)
                except Rejected as verdict:
                    file = _file(adapter, candidate)
                    rejected.append([first + place, name, file, verdict.reason, verdict.detail])
                    continue
                if measurement is None:
                    continue
                if measurement.shape != array.shape[1:]:
                    raise ValueError(
                        f"modality adapter '{cohort.modalities[name].adapter}' reads shape "
                        f"{measurement.shape}; expected its own {array.shape[1:]}"
                    )
                array[first + place] = measurement
                chosen[place][column] = number
                noted.extend([first + place, name, word] for word in notes)
                break
    return {"first": first, "chosen": chosen, "rejected": rejected, "noted": noted}


def _candidates(cohort: Cohort, modality: str, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The row as each recording that may stand for its sample has it, best first."""
    column = cohort.modalities[modality].candidates
    if column is None:
        return [dict(row)]
    return [{**row, **candidate} for candidate in row[column] or ()]


def _measurement(
    adapter: Any, row: Mapping[str, Any], source: Path, note: Note
) -> np.ndarray | None:
    """What an adapter reads; where it fails on a file, that file is rejected, not all others."""
    try:
        return adapter.read(row, source, note)
    except (Rejected, DataError):  # a verdict on this recording, or a file of many that is broken
        raise
    except Exception as error:
        if is_fault(error):
            raise
        raise Rejected("adapter-failed", f"{type(error).__name__} in the adapter") from None


def _each(
    read: Callable[[int, list[dict[str, Any]]], dict[str, Any]], firsts: list[int], rows: pa.Array
) -> Iterator[dict[str, Any]]:
    """The verdict on every part, in whatever order they are done."""
    parts = ((first, rows[first : first + PART].to_pylist()) for first in firsts)
    workers = min(cores(), len(firsts))
    if workers <= 1 or len(firsts) * PART <= FEW:
        for first, part in parts:
            yield read(first, part)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting: set[Future[dict[str, Any]]] = set()
        try:
            for first, part in parts:
                waiting.add(pool.submit(read, first, part))
                if len(waiting) >= 4 * workers:
                    finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in finished)
            yield from (future.result() for future in waiting)
        except BrokenProcessPool:
            raise DataError(
                "a process that reads recordings died, perhaps for want of memory; expected it to "
                "finish. Run the same command again: it goes on where it stopped."
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _check_files_are_there(
    cohort: Cohort, adapters: Mapping[str, Any], rows: pa.Array, *, source: Path
) -> None:
    """Say at once that a modality's files are elsewhere, rather than reject them one by one."""
    problems = []
    order = np.random.default_rng(0).permutation(len(rows))
    for name, adapter in adapters.items():
        missing, found = [], False
        for row in (
            candidate
            for place in order
            for candidate in _candidates(cohort, name, rows[int(place)].as_py())
        ):
            try:
                found = _measurement(adapter, row, source, unheard) is not None
            except Rejected as verdict:
                found = verdict.reason != "file-missing"
                missing.append(_file(adapter, row))
            if found or len(missing) >= TRIED:
                break
        if not found and len(missing) >= FEWEST:
            problems.append(
                f"{cohort.folder / 'cohort.toml'}: modalities.{name}: none of {len(missing)} files "
                f"from all over the cohort is under {source}, such as {min(missing)}. Correct the "
                "path, get the files, or remove the modality."
            )
    if problems:
        raise DataError(*problems)


def _read_journal(journal: Path) -> list[dict[str, Any]]:
    """The verdicts so far; a last line that was cut off is removed, as the next follows it."""
    content = journal.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(journal, whole)
    return [json.loads(line) for line in content[:whole].splitlines()]


def _file(adapter: Any, row: Mapping[str, Any]) -> str:
    """What names the recording in the sample's row; never a value."""
    others = [column for column in adapter.columns if column not in adapter.numbers]
    return " ".join(str(row[column]) for column in getattr(adapter, "named_by", others))
