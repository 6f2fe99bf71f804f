"""Prepare a `CohortStore` from raw files."""

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from clinical_symile import __version__
from clinical_symile.config.cohort import Cohort, modality_adapters
from clinical_symile.data.ingest.decode import Decoded, decode, has_begun
from clinical_symile.data.ingest.manifest import write_manifest
from clinical_symile.data.ingest.published_candidates import read_candidates, write_candidates
from clinical_symile.data.ingest.row_file import RowFile
from clinical_symile.data.ingest.samples import SelectedSamples, read_samples
from clinical_symile.data.ingest.source_tables import source_files
from clinical_symile.data.ingest.store_writer import (
    write_array,
    write_note_tables,
    write_store_tables,
)
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.data.store_manifest import known_checksums
from clinical_symile.errors import DataError
from clinical_symile.files import (
    lock_folder,
    make_folder,
    rename_folder,
    write_checksums,
    write_file,
    write_text,
)
from clinical_symile.formatting import format_count
from clinical_symile.hashing import digest_of, file_sha256
from clinical_symile.tracking.progress import Progress

_WASTE = ".waste.partial"
_ROW_FILE = "samples.arrow"
_SELECTION = "selected.json"


def prepare(
    cohort: Cohort,
    *,
    source: Path,
    out: Path,
    progress: Progress = lambda done, total: None,
) -> CohortStore:
    """Read the raw files of a cohort and write its store.

    If a recording is not usable, the sample's next candidate is tried; without one, the modality is
    missing. A sample with too few modalities is left out. The manifest counts both by reason.

    The work happens in `<out>.partial`, which is renamed to `out` when the store is complete. After
    an interruption the next call resumes there, and reads again what was damaged since; if nothing
    was decoded yet, the folder is removed.
    If `out` already holds this store, it is opened. The same input gives the same bytes. One part
    of the samples is in memory at a time.

    Many samples are read by one process per core, and each process imports the program's main
    module. A script must therefore call this under `if __name__ == "__main__":`.

    Args:
        cohort: the cohort to read.
        source: folder of the raw files.
        out: folder of the store.
        progress: called with the number of samples read and of all samples.

    Returns:
        The store.

    Raises:
        DefinitionError: a modality's adapter rejects its arguments.
        DataError: tables are missing or contradict themselves, no file of a modality is where the
            cohort says, or `out` holds something else.
    """
    adapters = modality_adapters(cohort)
    files = source_files(cohort, source)
    key = digest_of(__version__, cohort.digest, *(file_sha256(file) for file in files.values()))
    with lock_folder(out):
        return _prepare(cohort, adapters, key, source=source, out=out, progress=progress)


def _prepare(
    cohort: Cohort,
    adapters: Mapping[str, Any],
    key: str,
    *,
    source: Path,
    out: Path,
    progress: Progress,
) -> CohortStore:
    """Write the store, or resume writing it; no other process does so at the same time."""
    work = out.with_name(out.name + ".partial")
    _remove(_waste_folder(work))  # left by a run that was killed while it removed it
    refuse_other_folder(out)
    if out.is_dir() and any(out.iterdir()):
        store = _open_same_store(out, key)
        if (work / "key").is_file():
            _remove(work)  # left by a run that was killed after it renamed the store
        return store
    _open_work_folder(work, key)
    try:
        read_candidates(cohort, source)  # so that its problems show before decoding
        selected = _select_samples(cohort, adapters, source=source, work=work)
        rows = RowFile(work / _ROW_FILE)
        decoded = decode(cohort, rows, source=source, folder=work, progress=progress)
    except BaseException:
        if not has_begun(work):
            _remove(work)
        raise
    store = _write_store(
        cohort, selected, rows, decoded, adapters=adapters, source=source, work=work
    )
    write_checksums(store, known_checksums(store))
    if out.is_dir():
        out.rmdir()
    rename_folder(store, out)
    _remove(work)
    return open_store(out)


def refuse_other_folder(out: Path) -> None:
    """Raise if `out` exists and is neither empty nor a store.

    Raises:
        DataError: `out` holds something else.
    """
    taken = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if taken and not (out / "manifest.json").is_file():
        raise DataError(
            f"{out}: exists and is not a cohort store. Choose another --out.", code="CS-D013"
        )


def _write_store(
    cohort: Cohort,
    selected: SelectedSamples,
    rows: RowFile,
    decoded: Decoded,
    *,
    adapters: Mapping[str, Any],
    source: Path,
    work: Path,
) -> Path:
    """Write every file of the store into a folder inside `work`; return that folder."""
    store = work / "store"
    shutil.rmtree(store, ignore_errors=True)
    store.mkdir()
    written = write_store_tables(cohort, adapters, rows, decoded, store=store)
    if not len(written.kept):
        _remove(work)  # so that the next call reads the files again
        raise _empty_cohort_error(cohort, selected, decoded, written.left_out, source=source)
    for key in ("rejected", "noted", "recordings"):
        write_note_tables(rows, decoded.lines(key), store / f"{key}.parquet", key=key)
    candidates, unlisted = write_candidates(cohort, source=source, store=store)
    write_manifest(
        cohort,
        store=store,
        about={
            name: write_array(cohort, name, adapter, decoded, kept=written.kept, store=store)
            for name, adapter in adapters.items()
        },
        units={name: one.units for name, one in adapters.items() if hasattr(one, "units")},
        candidates=candidates,
        source_digest=(work / "key").read_text(encoding="utf-8"),
        rows=selected.rows,
        recorded=selected.recorded,
        coverage=selected.problems,
        left_out=Counter(selected.left_out) + Counter(written.left_out),
        already_known=written.already_known,
        rejected=decoded.rejected,
        noted=decoded.noted,
        implausible=written.implausible,
        unlisted=unlisted,
    )
    return store


def _empty_cohort_error(
    cohort: Cohort,
    selected: SelectedSamples,
    decoded: Decoded,
    left_out: Mapping[str, int],
    *,
    source: Path,
) -> DataError:
    """Return the error for a cohort of which no row became a sample."""
    reasons = Counter(
        {
            f"{name} {reason}": count
            for name, counts in decoded.rejected.items()
            for reason, count in counts.items()
        }
    )
    reasons += Counter(left_out) + Counter(selected.left_out)
    found = ", ".join(f"{format_count(n)} {reason}" for reason, n in reasons.items())
    return DataError(
        f"cohort '{cohort.name}': none of {format_count(selected.rows)} rows became a sample; "
        f"found {found or 'no recorded modality'}. "
        f"Correct the cohort's file, or the files under {source}.",
        code="CS-D006",
    )


def _select_samples(
    cohort: Cohort, adapters: Mapping[str, Any], *, source: Path, work: Path
) -> SelectedSamples:
    """Select the samples, or read the earlier selection, so that a resumed run uses its rows."""
    file, counts = work / _ROW_FILE, work / _SELECTION
    earlier = _earlier_selection(file, counts)
    if earlier is not None:
        return earlier
    found: list[str] = []

    def select(partial: Path) -> None:
        scratch = work / "scratch"
        selected = read_samples(cohort, adapters, source=source, scratch=scratch, out=partial)
        text = json.dumps(asdict(selected))
        digest = digest_of(text, file_sha256(partial))
        write_text(counts, json.dumps({"digest": digest, "selected": text}))
        found.append(text)

    write_file(file, select)
    return SelectedSamples(**json.loads(found[0]))


def _earlier_selection(file: Path, counts: Path) -> SelectedSamples | None:
    """Read what an earlier run selected; None if a file of it is missing, cut or damaged."""
    try:
        entry = json.loads(counts.read_bytes())
        if entry["digest"] != digest_of(entry["selected"], file_sha256(file)):
            return None
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return SelectedSamples(**json.loads(entry["selected"]))


def _open_same_store(out: Path, key: str) -> CohortStore:
    """Open the existing store, if it is what `prepare` would write."""
    store = open_store(out)
    if store.manifest["source_digest"] != key:
        raise DataError(
            f"{out}: holds a store of cohort '{store.cohort}' from another definition, other "
            "tables or another version. Choose another --out, or remove it first.",
            code="CS-D014",
        )
    return store


def _open_work_folder(work: Path, key: str) -> None:
    """Create the work folder, or keep one with the same key."""
    file = work / "key"
    if work.exists():
        if not file.is_file():
            raise DataError(
                f"{work}: exists and is not an unfinished store. Choose another --out.",
                code="CS-D013",
            )
        if file.read_bytes() == key.encode():
            return
        _remove(work)
    new = _waste_folder(work)  # so that the folder never exists without its key
    make_folder(new)
    write_text(new / file.name, key)
    new.replace(work)


def _waste_folder(work: Path) -> Path:
    """Return the name that a folder has while it is created or removed.

    It ends in `.partial`, as all does that no checksum is kept of.
    """
    return work.with_suffix(_WASTE)


def _remove(folder: Path) -> None:
    """Remove a folder; if this is killed, no part of it stays under its name."""
    waste = folder if folder.name.endswith(_WASTE) else _waste_folder(folder)
    if folder.exists() and folder != waste:
        folder.replace(waste)
    shutil.rmtree(waste, ignore_errors=True)
