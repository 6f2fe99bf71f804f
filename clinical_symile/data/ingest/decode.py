"""Recordings to arrays: many at a time, and going on after an interruption."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from clinical_symile.config.cohort import Cohort, modality_adapters
from clinical_symile.data.ingest import worker_pool as workers
from clinical_symile.data.ingest.journal import Journal
from clinical_symile.data.ingest.machine import available_cores
from clinical_symile.data.ingest.row_file import RowFile
from clinical_symile.errors import DataError
from clinical_symile.modalities.base import Note, Rejected, ignore_note, is_file_error
from clinical_symile.tracking.progress import Progress

LOOKED = 2000  # samples, drawn from all over the cohort, whose files are looked for first
TRIED = 100  # files of a modality looked for before it is believed that all are elsewhere
JOURNAL = "verdicts.jsonl"
FEWEST = 10  # files that are all missing may be just that; more are elsewhere


@dataclass(frozen=True, eq=False)
class Decoded:
    """What came of reading every sample; the measurements are in `<modality>.npy` of the folder.

    Attributes:
        folder: of the arrays.
        present: True where there is a measurement.
        chosen: which of the sample's candidates it is, from 0; -1 where there is none.
        tried: True where a recording was not usable.
        rejected: how many recordings of each modality were not usable, by reason.
        noted: of how many something was noted, by the word.
    """

    folder: Path
    present: Bool[np.ndarray, "sample modality"]
    chosen: Int[np.ndarray, "sample modality"]
    tried: Bool[np.ndarray, " sample"]
    rejected: Mapping[str, Mapping[str, int]]
    noted: Mapping[str, Mapping[str, int]]

    def told(self, key: str) -> Iterator[list[Any]]:
        """What was told of recordings, by sample and then in the order of modalities.

        Args:
            key: `rejected`, for row, modality, file, reason and detail of each; or `noted`, for
                row, modality and word.
        """
        for verdict in Journal(self.folder / JOURNAL).verdicts():
            yield from sorted(verdict[key], key=lambda line: line[0])


def decode(
    cohort: Cohort, rows: RowFile, *, source: Path, folder: Path, progress: Progress
) -> Decoded:
    """Read every recording into one array per modality.

    What is done is noted in the journal of the folder, and not done again.

    Args:
        cohort: whose modalities to read.
        rows: the samples.
        source: folder of the raw files.
        folder: where arrays and notes are, or will be.
        progress: called with samples read and all samples.

    Raises:
        DataError: `TRIED` files of a modality, of samples drawn from the whole cohort, are not
            where the cohort says, or all of fewer, but at least `FEWEST`; or a process died.
    """
    adapters = modality_adapters(cohort)
    if not (folder / JOURNAL).exists():
        _check_files_are_there(cohort, adapters, rows, source=source)
        for name, adapter in adapters.items():
            create_array(folder / f"{name}.npy", adapter, samples=len(rows))
        (folder / JOURNAL).touch()
    journal = Journal(folder / JOURNAL)
    chosen = np.full((len(rows), len(adapters)), -1, dtype=np.int16)
    tried = np.zeros(len(rows), dtype=bool)
    counts = {key: {name: Counter() for name in adapters} for key in ("rejected", "noted")}
    left = set(range(0, len(rows), workers.PART))
    parts = len(left)

    def take(verdict: Mapping[str, Any]) -> None:
        first = verdict["first"]
        chosen[first : first + len(verdict["chosen"])] = verdict["chosen"]
        tried[[line[0] for line in verdict["rejected"]]] = True
        for _, name, _, reason, _ in verdict["rejected"]:
            counts["rejected"][name][reason] += 1
        for _, name, word in verdict["noted"]:
            counts["noted"][name][word] += 1
        left.discard(first)

    for verdict in journal.verdicts():
        take(verdict)
    verdicts = workers.map_chunks(
        partial(_decode_part, cohort, source, folder),
        sorted(left),
        lambda first: [line["row"] for line in rows.part(first, workers.PART)],
        processes=available_cores(),
        modalities=tuple(adapters),
        died=partial(_died, cohort, adapters),
    )
    for verdict in verdicts:
        journal.add(verdict)
        take(verdict)
        progress(min((parts - len(left)) * workers.PART, len(rows)), len(rows))
    return Decoded(folder=folder, present=chosen >= 0, chosen=chosen, tried=tried, **counts)


def has_begun(folder: Path) -> bool:
    """Whether anything was decoded that need not be decoded again."""
    journal = folder / JOURNAL
    return journal.exists() and journal.stat().st_size > 0


def create_array(file: Path, adapter: Any, *, samples: int) -> np.memmap:
    """A new array of measurements, all zero and taking no room until it is written to."""
    shape = (samples, *adapter.shape)
    return np.lib.format.open_memmap(file, mode="w+", dtype=np.dtype(adapter.dtype), shape=shape)


def _decode_part(
    cohort: Cohort,
    source: Path,
    folder: Path,
    first: int,
    rows: list[dict[str, Any]],
    modalities: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Decode some samples that follow one another; runs in a process of its own."""
    chosen = [[-1] * len(cohort.modalities) for _ in rows]
    rejected, noted = [], []
    for column, (name, adapter) in enumerate(modality_adapters(cohort).items()):
        if modalities is not None and name not in modalities:
            continue
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
        array.flush()  # before it is noted as done: a machine that goes down loses nothing either
    return {"first": first, "chosen": chosen, "rejected": rejected, "noted": noted}


def _died(
    cohort: Cohort, adapters: Mapping[str, Any], place: int, row: Mapping[str, Any], modality: str
) -> dict[str, Any]:
    """The verdict on a recording that killed the process that read it."""
    files = [_file(adapters[modality], each) for each in _candidates(cohort, modality, row)]
    why = "process-died", "the process that read it died; see whether a library is at fault"
    rejected = [[place, modality, file, *why] for file in files]
    return {"first": place, "chosen": [[-1] * len(adapters)], "rejected": rejected, "noted": []}


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
        if is_file_error(error):
            raise
        raise Rejected("adapter-failed", f"{type(error).__name__} in the adapter") from None


def _check_files_are_there(
    cohort: Cohort, adapters: Mapping[str, Any], rows: RowFile, *, source: Path
) -> None:
    """Say at once that a modality's files are elsewhere, rather than reject them one by one."""
    problems = []
    drawn = rows.some(np.random.default_rng(0).permutation(len(rows))[:LOOKED])
    for name, adapter in adapters.items():
        missing, found = [], False
        for row in (
            candidate for line in drawn for candidate in _candidates(cohort, name, line["row"])
        ):
            try:
                found = _measurement(adapter, row, source, ignore_note) is not None
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


def _file(adapter: Any, row: Mapping[str, Any]) -> str:
    """What names the recording in the sample's row; never a value."""
    others = [column for column in adapter.columns if column not in adapter.numbers]
    return " ".join(str(row[column]) for column in getattr(adapter, "named_by", others))
