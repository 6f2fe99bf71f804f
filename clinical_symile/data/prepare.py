"""Raw files to a `CohortStore`."""

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
from clinical_symile.data.ingest.measurements import write_array
from clinical_symile.data.ingest.published_candidates import read_candidates, write_candidates
from clinical_symile.data.ingest.row_file import RowFile
from clinical_symile.data.ingest.samples import Selected, read_samples
from clinical_symile.data.ingest.store_writer import write_note_tables, write_store_tables
from clinical_symile.data.ingest.tables import source_files
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.errors import DataError
from clinical_symile.hashing import digest_of, file_sha256
from clinical_symile.tracking.progress import Progress

ROWS = "samples.arrow"


def prepare(
    cohort: Cohort,
    *,
    source: Path,
    out: Path,
    progress: Progress = lambda done, total: None,
) -> CohortStore:
    """Read the raw files of a cohort and write its store.

    A recording that cannot be used leaves its sample without that modality, or with the next of its
    candidates where the cohort names several; a sample with too few is left out; both are counted,
    by reason, in the manifest. The work is done in `<out>.partial` and
    gets the name `out` when it is whole. After an interruption the next call goes on from there,
    if nothing was decoded yet, nothing is left behind. When the store is there already, nothing is
    done. The same input gives the same bytes. Of samples a part is in memory at a time.

    Many samples are read by one process per core, each of which imports the program's main module:
    a script that calls this does so under `if __name__ == "__main__":`.

    Args:
        cohort: what to read.
        source: folder of the raw files.
        out: folder of the store.
        progress: called with samples read and all samples.

    Raises:
        DefinitionError: a modality cannot be read as the cohort says.
        DataError: tables are missing or contradict themselves, no file of a modality is where the
            cohort says, or `out` holds something else.
    """
    adapters = modality_adapters(cohort)
    files = source_files(cohort, source)
    key = digest_of(__version__, cohort.digest, *(file_sha256(file) for file in files.values()))
    work = out.with_name(out.name + ".partial")
    _remove(_waste(work))  # what a run that was killed was removing
    refuse_other_folder(out)
    if out.is_dir() and any(out.iterdir()):
        store = _same_store(out, key)
        if (work / "key").is_file():
            _remove(work)  # of a run that was killed when the store had its name
        return store
    _open_work(work, key)
    try:
        read_candidates(cohort, source)  # so that what is amiss is told before anything is decoded
        selected = _selected(cohort, adapters, source=source, work=work)
        rows = RowFile(work / ROWS)
        decoded = decode(cohort, rows, source=source, folder=work, progress=progress)
    except BaseException:
        if not has_begun(work):
            _remove(work)
        raise
    store = _written(cohort, selected, rows, decoded, adapters=adapters, source=source, work=work)
    if out.is_dir():
        out.rmdir()
    store.replace(out)
    _remove(work)
    return open_store(out)


def refuse_other_folder(out: Path) -> None:
    """Refuse a place for a store that is neither empty nor a store.

    Raises:
        DataError: something else is there.
    """
    taken = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if taken and not (out / "manifest.json").is_file():
        raise DataError(f"{out}: exists and is no cohort store. Choose another --out.")


def _written(
    cohort: Cohort,
    selected: Selected,
    rows: RowFile,
    decoded: Decoded,
    *,
    adapters: Mapping[str, Any],
    source: Path,
    work: Path,
) -> Path:
    """Write every file of the store into a folder inside `work`."""
    store = work / "store"
    shutil.rmtree(store, ignore_errors=True)
    store.mkdir()
    written = write_store_tables(cohort, adapters, rows, decoded, store=store)
    if not len(written.kept):
        _remove(work)  # so that the next call looks at the files again
        raise _nothing(cohort, selected, decoded, written.left_out, source=source)
    for key in ("rejected", "noted"):
        write_note_tables(rows, decoded.told(key), store / f"{key}.parquet", key=key)
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
        left_out=Counter(selected.left_out) + Counter(written.left_out),
        already_known=written.already_known,
        rejected=decoded.rejected,
        noted=decoded.noted,
        implausible=written.implausible,
        unlisted=unlisted,
    )
    return store


def _nothing(
    cohort: Cohort,
    selected: Selected,
    decoded: Decoded,
    left_out: Mapping[str, int],
    *,
    source: Path,
) -> DataError:
    """What to say where no row became a sample."""
    reasons = Counter(
        {
            f"{name} {reason}": count
            for name, counts in decoded.rejected.items()
            for reason, count in counts.items()
        }
    )
    reasons += Counter(left_out) + Counter(selected.left_out)
    return DataError(
        f"cohort '{cohort.name}': none of {selected.rows} rows became a sample; found "
        f"{', '.join(f'{n} {reason}' for reason, n in reasons.items()) or 'none recorded'}. "
        f"Correct the cohort's file, or the files under {source}."
    )


def _selected(cohort: Cohort, adapters: Mapping[str, Any], *, source: Path, work: Path) -> Selected:
    """What the tables hold; read once, so that going on uses the very same rows."""
    file, counts = work / ROWS, work / "selected.json"
    if not file.exists():
        partial = work / f"{ROWS}.partial"
        scratch = work / "scratch"
        selected = read_samples(cohort, adapters, source=source, scratch=scratch, out=partial)
        counts.write_text(json.dumps(asdict(selected)), encoding="utf-8")
        partial.replace(file)
    return Selected(**json.loads(counts.read_text(encoding="utf-8")))


def _same_store(out: Path, key: str) -> CohortStore:
    """The store that is there already, if it is what would be made."""
    store = open_store(out)
    if store.manifest["source_digest"] != key:
        raise DataError(
            f"{out}: holds a store of cohort '{store.cohort}' from another definition, from other "
            "tables or by another version. Choose another --out, or remove it first."
        )
    return store


def _open_work(work: Path, key: str) -> None:
    """Make the work folder, or keep it if it was made for the same."""
    file = work / "key"
    if work.exists():
        if not file.is_file():
            raise DataError(f"{work}: exists and is no unfinished store. Choose another --out.")
        if file.read_text(encoding="utf-8") == key:
            return
        _remove(work)
    new = _waste(work)  # so that there is no moment at which the folder is there without its key
    new.mkdir(parents=True)
    (new / file.name).write_text(key, encoding="utf-8")
    new.replace(work)


def _waste(work: Path) -> Path:
    """The name that a folder has while it is made or removed."""
    return work.with_name(work.name + ".waste")


def _remove(folder: Path) -> None:
    """Remove a folder so that, if this is killed, no half of it stays under its name."""
    waste = folder if folder.name.endswith(".waste") else _waste(folder)
    if folder.exists() and folder != waste:
        folder.replace(waste)
    shutil.rmtree(waste, ignore_errors=True)
