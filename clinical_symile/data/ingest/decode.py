"""Decode recordings into one array per modality, in parallel, and resume after an interruption."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from clinical_symile.config.cohort import Cohort, modality_adapters
from clinical_symile.data.ingest import worker_pool as workers
from clinical_symile.data.ingest.journal import Journal
from clinical_symile.data.ingest.recordings import content_line, recording_stamp
from clinical_symile.data.ingest.row_file import RowFile
from clinical_symile.data.ingest.worker_pool import available_cores
from clinical_symile.data.store import array_path
from clinical_symile.errors import DataError
from clinical_symile.hashing import digest_of
from clinical_symile.modalities.base import (
    Note,
    Rejected,
    decoder_verdict,
    ignore_note,
    is_file_error,
    links_stay_inside,
)
from clinical_symile.tracking.progress import Progress
from clinical_symile.tracking.records import UNREADABLE_ARRAY

_SAMPLES_CHECKED = 2000  # samples, drawn from the whole cohort, whose files are looked for first
_FILES_CHECKED = 100  # missing files after which a modality's files are taken to be elsewhere
MIN_MISSING_FILES = 10  # fewer files, all missing, may be missing by themselves
_JOURNAL = "verdicts.jsonl"
_BEGUN = "begun"  # the chunk that a single process reads


@dataclass(frozen=True, eq=False, repr=False)
class Decoded:
    """Verdicts on all recordings; the measurements are in `<modality>.npy` of the folder.

    Attributes:
        folder: the folder of the arrays.
        candidate: index of the candidate that was stored, from 0; -1 where none was usable.
        tried: True where a recording was not usable.
        rejected: number of recordings of each modality that were not usable, by reason.
        noted: number of recordings of each modality with a note, by the note.
    """

    folder: Path
    candidate: Int[np.ndarray, "sample modality"]
    tried: Bool[np.ndarray, " sample"]
    rejected: Mapping[str, Mapping[str, int]]
    noted: Mapping[str, Mapping[str, int]]

    def lines(self, key: str) -> Iterator[list[Any]]:
        """Yield the verdicts or notes on recordings, by sample and then by modality.

        Args:
            key: `rejected` for lines of row, modality, file, reason and detail; `noted` for lines
                of row, modality and note; `recordings` for lines of row, modality, file, bytes and
                SHA-256 of what was stored.
        """
        for verdict in Journal(self.folder / _JOURNAL).verdicts():
            yield from sorted(verdict[key], key=lambda line: line[0])


def decode(
    cohort: Cohort, rows: RowFile, *, source: Path, folder: Path, progress: Progress
) -> Decoded:
    """Read every recording into one array per modality.

    Finished chunks are recorded in the journal of the folder and are not read again. The exceptions
    are chunks of which a file has another size or time since, or whose measurements are not as they
    were written.

    Args:
        cohort: the cohort, with its modalities.
        rows: the samples.
        source: folder of the raw files.
        folder: folder of the arrays and the journal.
        progress: called with the number of samples read and of all samples.

    Raises:
        DataError: no file of a modality is where the cohort says. This needs 100 missing files of
            samples drawn from the whole cohort, or all of fewer, but at least 10.
    """
    adapters = modality_adapters(cohort)
    if not (folder / _JOURNAL).exists():
        _check_files_exist(cohort, adapters, rows, source=source)
    for name, adapter in adapters.items():
        if not _is_array(array_path(folder, name), adapter, samples=len(rows)):
            create_array(array_path(folder, name), adapter, samples=len(rows))
    (folder / _JOURNAL).touch()
    journal = Journal(folder / _JOURNAL)
    candidate = np.full((len(rows), len(adapters)), -1, dtype=np.int16)
    tried = np.zeros(len(rows), dtype=bool)
    counts = {key: {name: Counter() for name in adapters} for key in ("rejected", "noted")}
    left = set(range(0, len(rows), workers.CHUNK_SIZE))
    chunks = len(left)

    def take(verdict: Mapping[str, Any]) -> None:
        first = verdict["first"]
        candidate[first : first + len(verdict["candidate"])] = verdict["candidate"]
        tried[[line[0] for line in verdict["rejected"]]] = True
        for _, name, _, reason, _ in verdict["rejected"]:
            counts["rejected"][name][reason] += 1
        for _, name, word in verdict["noted"]:
            counts["noted"][name][word] += 1
        left.discard(first)

    for verdict in journal.verdicts():
        is_unchanged = verdict["stamps"] == _stamps(cohort, adapters, rows, source, verdict)
        if is_unchanged and verdict["contents"] == _contents(folder, adapters, verdict):
            take(verdict)
    verdicts = workers.map_chunks(
        partial(_decode_chunk, cohort, source, folder),
        sorted(left),
        lambda first: [line["row"] for line in rows.part(first, workers.CHUNK_SIZE)],
        processes=available_cores(),
        modalities=tuple(adapters),
        died=partial(_crash_verdict, cohort, adapters),
        begun=folder / _BEGUN,
    )
    for verdict in verdicts:
        journal.add(verdict)
        take(verdict)
        progress(min((chunks - len(left)) * workers.CHUNK_SIZE, len(rows)), len(rows))
    return Decoded(folder=folder, candidate=candidate, tried=tried, **counts)


def _stamps(
    cohort: Cohort,
    adapters: Mapping[str, Any],
    rows: RowFile,
    source: Path,
    verdict: Mapping[str, Any],
) -> list[str]:
    """Return the stamps of the samples of a verdict as they are now; "" where it has none."""
    stamps = verdict["stamps"]
    lines = rows.part(verdict["first"], len(stamps))
    return [
        _stamp(cohort, adapters, line["row"], source) if stamp else ""
        for stamp, line in zip(stamps, lines, strict=True)
    ]


def _stamp(
    cohort: Cohort, adapters: Mapping[str, Any], row: Mapping[str, Any], source: Path
) -> str:
    """Return a digest of sizes and times of all files that a sample may be read from."""
    return digest_of(
        *(
            recording_stamp(adapter, candidate, source)
            for name, adapter in adapters.items()
            for candidate in candidate_rows(cohort, name, row)
        )
    )


def _contents(folder: Path, adapters: Iterable[str], verdict: Mapping[str, Any]) -> list[list[str]]:
    """Return the digests of the measurements of a verdict as they are now; "" for none."""
    arrays = [
        np.load(array_path(folder, name), mmap_mode="r", allow_pickle=False) for name in adapters
    ]
    return [
        [
            "" if stored < 0 else digest_of(array[row].tobytes())
            for array, stored in zip(arrays, candidates, strict=True)
        ]
        for row, candidates in enumerate(verdict["candidate"], start=verdict["first"])
    ]


def has_begun(folder: Path) -> bool:
    """Return True if the folder holds finished chunks."""
    journal = folder / _JOURNAL
    return journal.exists() and journal.stat().st_size > 0


def _is_array(file: Path, adapter: Any, *, samples: int) -> bool:
    """Return True if a file is an array of measurements as `create_array` makes it."""
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, *UNREADABLE_ARRAY):  # missing, cut, or its head is damaged
        return False
    is_expected = (array.shape, array.dtype) == ((samples, *adapter.shape), adapter.dtype)
    return is_expected and array.flags.c_contiguous


def create_array(file: Path, adapter: Any, *, samples: int) -> np.memmap:
    """Create an array of measurements: all zero, and without disk space until it is written."""
    shape = (samples, *adapter.shape)
    return np.lib.format.open_memmap(file, mode="w+", dtype=np.dtype(adapter.dtype), shape=shape)


def reserve_rows(array: np.memmap, rows: Iterable[int]) -> None:
    """Reserve disk space for rows of a mapped file before they are written.

    Without it, writing to a full disk through the map kills the process.

    Raises:
        OSError: the disk is full.
    """
    if not hasattr(os, "posix_fallocate"):
        return  # not on macOS and Windows
    size = array.nbytes // len(array)
    descriptor = os.open(str(array.filename), os.O_RDWR)
    try:
        for row in rows:
            os.posix_fallocate(descriptor, array.offset + int(row) * size, size)
    finally:
        os.close(descriptor)


def _decode_chunk(
    cohort: Cohort,
    source: Path,
    folder: Path,
    first: int,
    rows: list[dict[str, Any]],
    modalities: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Decode consecutive samples; runs in a process of its own."""
    stored = [[-1] * len(cohort.modalities) for _ in rows]
    contents = [[""] * len(cohort.modalities) for _ in rows]
    rejected, noted, recordings = [], [], []
    adapters = modality_adapters(cohort)
    stamps = [_stamp(cohort, adapters, row, source) for row in rows]
    for column, (name, adapter) in enumerate(adapters.items()):
        if modalities is not None and name not in modalities:
            continue
        array = np.load(array_path(folder, name), mmap_mode="r+", allow_pickle=False)
        for place, row in enumerate(rows):
            for number, candidate in enumerate(candidate_rows(cohort, name, row)):
                notes: list[str] = []
                try:
                    measurement = read_measurement(
                        adapter, candidate, source, notes.append, allow_links=cohort.allow_links
                    )
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
                reserve_rows(array, [first + place])
                array[first + place] = measurement
                stored[place][column] = number
                contents[place][column] = digest_of(array[first + place].tobytes())
                noted.extend([first + place, name, word] for word in notes)
                if content := content_line(adapter, candidate, source):
                    recordings.append([first + place, name, *content])
                break
        array.flush()  # before the chunk counts as done, so that a power failure loses nothing
    return {
        **{"first": first, "candidate": stored, "stamps": stamps, "contents": contents},
        **{"rejected": rejected, "noted": noted, "recordings": recordings},
    }


def _crash_verdict(
    cohort: Cohort, adapters: Mapping[str, Any], place: int, row: Mapping[str, Any], modality: str
) -> dict[str, Any]:
    """Return the verdict on a recording that killed the process that read it."""
    files = [_file(adapters[modality], each) for each in candidate_rows(cohort, modality, row)]
    why = "process-died", "the process that read it died; check the library that reads this format"
    rejected = [[place, modality, file, *why] for file in files]
    nothing = {"candidate": [[-1] * len(adapters)], "contents": [[""] * len(adapters)]}
    return {
        **{"first": place, **nothing, "stamps": [""]},
        **{"rejected": rejected, "noted": [], "recordings": []},
    }


def candidate_rows(cohort: Cohort, modality: str, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the row once per candidate recording of the sample, best first, with its fields."""
    column = cohort.modalities[modality].candidates
    if column is None:
        return [dict(row)]
    return [{**row, **candidate} for candidate in row[column] or ()]


def read_measurement(
    adapter: Any, row: Mapping[str, Any], source: Path, note: Note, *, allow_links: bool
) -> np.ndarray | None:
    """Read one recording; reject this recording alone if the adapter fails on it."""
    try:
        with links_stay_inside(None if allow_links else source):
            return adapter.read(row, source, note)
    except (Rejected, DataError):  # a verdict on this recording, or a broken file of many
        raise
    except Exception as error:
        if is_file_error(error):
            raise
        if isinstance(error, MemoryError):
            raise decoder_verdict("the adapter", error) from None
        raise Rejected("adapter-failed", f"{type(error).__name__} in the adapter") from None


def _check_files_exist(
    cohort: Cohort, adapters: Mapping[str, Any], rows: RowFile, *, source: Path
) -> None:
    """Raise if a modality's files are elsewhere, instead of rejecting them one by one."""
    problems = []
    drawn = rows.some(np.random.default_rng(0).permutation(len(rows))[:_SAMPLES_CHECKED])
    for name, adapter in adapters.items():
        missing, found, outside = [], False, False
        for row in (
            candidate for line in drawn for candidate in candidate_rows(cohort, name, line["row"])
        ):
            try:
                measurement = read_measurement(
                    adapter, row, source, ignore_note, allow_links=cohort.allow_links
                )
                found = measurement is not None
            except Rejected as verdict:
                found = verdict.reason not in ("file-missing", "outside-source")
                outside = outside or verdict.reason == "outside-source"
                missing.append(_file(adapter, row))
            if found or len(missing) >= _FILES_CHECKED:
                break
        if not found and len(missing) >= MIN_MISSING_FILES:
            problems.append(
                f"{cohort.folder / 'cohort.toml'}: modalities.{name}: none of {len(missing)} files "
                f"from all over the cohort is under {source}, such as {min(missing)}. Correct the "
                "path, get the files, or remove the modality."
                + " Some are links that lead out of that folder: allow them with --allow-links."
                * outside
            )
    if problems:
        raise DataError(*problems, code="CS-D011")


def _file(adapter: Any, row: Mapping[str, Any]) -> str:
    """Return the columns that name the recording in the sample's row; never a value."""
    others = [column for column in adapter.columns if column not in adapter.numbers]
    return " ".join(str(row[column]) for column in getattr(adapter, "named_by", others))
