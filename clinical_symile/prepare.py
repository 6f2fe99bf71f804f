"""Raw files to a `CohortStore`."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as parquet
from jaxtyping import Int

from clinical_symile import __version__
from clinical_symile.catalog import digest
from clinical_symile.cohort import Cohort, modality_adapters
from clinical_symile.decode import PART, Decoded, Progress, create_array, decode, has_begun
from clinical_symile.errors import DataError
from clinical_symile.manifest import write_manifest
from clinical_symile.modalities.modality import is_empty
from clinical_symile.samples import read_candidates, read_samples, source_files
from clinical_symile.store import CohortStore, checksum, open_store


def prepare(
    cohort: Cohort,
    *,
    source: Path,
    out: Path,
    progress: Progress = lambda done, total: None,
) -> CohortStore:
    """Read the raw files of a cohort and write its store.

    A recording that cannot be used leaves its sample without that modality; a sample without any is
    left out; both are counted, by reason, in the manifest. The work is done in `<out>.partial` and
    gets the name `out` when it is whole. After an interruption the next call goes on from there,
    if nothing was decoded yet, nothing is left behind. When the store is there already, nothing is
    done. The same input gives the same bytes.

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
    key = digest(__version__, cohort.digest, *(checksum(file) for file in files.values()))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        return _same_store(out, key)
    work = out.with_name(out.name + ".partial")
    _open_work(work, key)
    try:
        samples, left_out = _samples(cohort, adapters, source=source, work=work)
        decoded = decode(
            cohort, samples["row"].combine_chunks(), source=source, folder=work, progress=progress
        )
    except BaseException:
        if not has_begun(work):
            shutil.rmtree(work)
        raise
    store = _write_store(
        cohort, samples, decoded, adapters=adapters, source=source, work=work, left_out=left_out
    )
    if out.is_dir():
        out.rmdir()
    store.replace(out)
    shutil.rmtree(work)
    return open_store(out)


def _write_store(
    cohort: Cohort,
    samples: pa.Table,
    decoded: Decoded,
    *,
    adapters: Mapping[str, Any],
    source: Path,
    work: Path,
    left_out: Mapping[str, int],
) -> Path:
    """Write every file of the store into a folder inside `work`."""
    kept = np.flatnonzero(decoded.present.any(axis=1))
    if not len(kept):
        shutil.rmtree(work)  # so that the next call looks at the files again
        reasons = Counter(decoded.rejected["modality"] + " " + decoded.rejected["reason"])
        raise DataError(
            f"cohort '{cohort.name}': none of {len(samples)} samples has a usable recording; found "
            f"{', '.join(f'{n} {reason}' for reason, n in reasons.items()) or 'none recorded'}. "
            f"Correct the cohort's file, or the files under {source}."
        )
    store = work / "store"
    shutil.rmtree(store, ignore_errors=True)
    store.mkdir()
    frame = _write_samples(cohort, samples, decoded, kept=kept, store=store)
    candidates, unlisted = _write_candidates(cohort, frame, source=source, store=store)
    _write_told(samples, decoded.rejected, store / "rejected.parquet")
    _write_told(samples, decoded.noted, store / "noted.parquet")
    about = {
        name: _write_array(cohort, name, adapter, decoded, frame, kept=kept, store=store)
        for name, adapter in adapters.items()
    }
    write_manifest(
        cohort,
        frame,
        decoded,
        store=store,
        about=about,
        candidates=candidates,
        source_digest=(work / "key").read_text(encoding="utf-8"),
        left_out=_left_out(decoded, left_out),
        implausible=_implausible(samples, adapters),
        unlisted=unlisted,
    )
    return store


def _same_store(out: Path, key: str) -> CohortStore:
    """The store that is there already, if it is what would be made."""
    if not (out / "manifest.json").is_file():
        raise DataError(f"{out}: exists and is no cohort store. Choose another --out.")
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
        shutil.rmtree(work)
    work.mkdir(parents=True)
    file.write_text(key, encoding="utf-8")


def _samples(
    cohort: Cohort, adapters: Mapping[str, Any], *, source: Path, work: Path
) -> tuple[pa.Table, dict[str, int]]:
    """The samples, read once so that going on uses the very same rows; and which rows are none."""
    file = work / "samples.arrow"
    if not file.exists():
        table, left_out = read_samples(cohort, adapters, source=source, scratch=work / "scratch")
        partial = work / "samples.arrow.partial"
        table = table.replace_schema_metadata({"left_out": json.dumps(left_out)})
        feather.write_feather(table, str(partial), compression="uncompressed")
        partial.replace(file)
    table = feather.read_table(str(file))
    return table, json.loads((table.schema.metadata or {})[b"left_out"])


def _left_out(decoded: Decoded, rows: Mapping[str, int]) -> dict[str, int]:
    none = np.logical_not(decoded.present.any(axis=1))
    tried = np.zeros(len(decoded.present), dtype=bool)
    tried[decoded.rejected["row"].to_numpy(dtype=np.int64)] = True
    counts = {
        "nothing-recorded": int((none & ~tried).sum()),
        "nothing-usable": int((none & tried).sum()),
        **rows,
    }
    return {reason: count for reason, count in counts.items() if count}


def _implausible(samples: pa.Table, adapters: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Single values that were not taken, of the modalities whose adapters tell."""
    rows = samples["row"].combine_chunks()
    return {
        name: adapter.implausible(
            {
                column: rows.field(column).to_numpy(zero_copy_only=False)
                for column in adapter.numbers
            }
        )
        for name, adapter in adapters.items()
        if hasattr(adapter, "implausible")
    }


def _write_samples(
    cohort: Cohort,
    samples: pa.Table,
    decoded: Decoded,
    *,
    kept: Int[np.ndarray, " kept"],
    store: Path,
) -> pd.DataFrame:
    taken = samples.take(kept)
    rows = taken["row"].combine_chunks()
    columns = {name: taken[name] for name in ("sample", "subject", "split")}
    for column, name in enumerate(cohort.modalities):
        columns[f"present_{name}"] = pa.array(decoded.present[kept, column])
    for name, outcome in cohort.outcomes.items():
        positive = {_code(value) for value in outcome.positive}
        negative = {_code(value) for value in outcome.negative}
        codes = [_code(value) for value in rows.field(outcome.column).to_pylist()]
        labels = [1.0 if c in positive else 0.0 if c in negative else np.nan for c in codes]
        columns[f"outcome_{name}"] = pa.array(labels, type=pa.float64())
    for column in cohort.samples.keep:
        columns[f"kept_{column}"] = rows.field(column)
    parquet.write_table(pa.table(columns), store / "samples.parquet")
    return pd.read_parquet(store / "samples.parquet")


def _code(value: Any) -> Any:
    """A value of an outcome's column, in one form whether it was read as text or as a number."""
    if is_empty(value):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value).strip()


def _write_candidates(
    cohort: Cohort, frame: pd.DataFrame, *, source: Path, store: Path
) -> tuple[pd.DataFrame, int]:
    """The candidate lists by row, and how many pairs name a sample that is not in the store."""
    listed = read_candidates(cohort, source)
    row = {str(sample): place for place, sample in enumerate(frame["sample"])}
    for column in ("query", "candidate"):
        listed[column] = [row.get(str(sample), -1) for sample in listed[column]]
    in_store = (listed["query"] >= 0) & (listed["candidate"] >= 0)
    known = listed.loc[in_store].reset_index(drop=True)
    if cohort.candidates:
        parquet.write_table(
            pa.Table.from_pandas(known, preserve_index=False), store / "candidates.parquet"
        )
    return known, len(listed) - len(known)


def _write_told(samples: pa.Table, told: pd.DataFrame, file: Path) -> None:
    """What was told of recordings, by sample."""
    sample = samples["sample"].take(pa.array(told["row"], type=pa.int64()))
    texts = {name: pa.array(told[name], type=pa.string()) for name in told.columns[1:]}
    parquet.write_table(pa.table({"sample": sample, **texts}), file)


def _write_array(
    cohort: Cohort,
    name: str,
    adapter: Any,
    decoded: Decoded,
    frame: pd.DataFrame,
    *,
    kept: Int[np.ndarray, " kept"],
    store: Path,
) -> dict[str, Any]:
    """Copy one modality's measurements of the samples that are kept; what the manifest says."""
    decoded_array = np.load(decoded.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    array = create_array(store / f"{name}.npy", adapter, samples=len(kept))
    present = frame[f"present_{name}"].to_numpy()
    for rows in _parts(np.flatnonzero(present)):
        array[rows] = decoded_array[kept[rows]]
    array.flush()
    training = np.flatnonzero(present & (frame["split"] == "train").to_numpy())
    return {
        "adapter": cohort.modalities[name].adapter,
        "shape": list(adapter.shape),
        "dtype": adapter.dtype,
        "unit": adapter.unit,
        "parts": list(adapter.parts),
        "encoder": adapter.encoder,
        "statistics": adapter.fit(array[rows] for rows in _parts(training)),
        "sha256": checksum(store / f"{name}.npy"),
    }


def _parts(rows: Int[np.ndarray, " row"]) -> Iterator[Int[np.ndarray, " part"]]:
    yield from (rows[first : first + PART] for first in range(0, len(rows), PART))
