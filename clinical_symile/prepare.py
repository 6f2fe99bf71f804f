"""Raw files to a `CohortStore`."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as parquet
from jaxtyping import Float, Int, Shaped

from clinical_symile import __version__
from clinical_symile.catalog import digest
from clinical_symile.cohort import Cohort, Outcome, Subgroup, modality_adapters
from clinical_symile.decode import Decoded, Progress, create_array, decode, has_begun
from clinical_symile.errors import DataError
from clinical_symile.manifest import write_manifest
from clinical_symile.modalities.modality import file_columns, is_empty
from clinical_symile.samples import (
    Selected,
    read_candidates,
    read_samples,
    source_files,
    too_few,
)
from clinical_symile.store import UNCERTAIN, CohortStore, checksum, open_store
from clinical_symile.subgroups import banded
from clinical_symile.workers import PART


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
        selected = _selected(cohort, adapters, source=source, work=work)
        rows = selected.samples["row"].combine_chunks()
        decoded = decode(cohort, rows, source=source, folder=work, progress=progress)
    except BaseException:
        if not has_begun(work):
            _remove(work)
        raise
    store = _write_store(cohort, selected, decoded, adapters=adapters, source=source, work=work)
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


def _write_store(
    cohort: Cohort,
    selected: Selected,
    decoded: Decoded,
    *,
    adapters: Mapping[str, Any],
    source: Path,
    work: Path,
) -> Path:
    """Write every file of the store into a folder inside `work`."""
    samples = selected.samples
    columns = _columns(cohort, samples, decoded)
    verdicts = _verdicts(cohort, columns, decoded)
    kept = np.flatnonzero(verdicts == "")
    if not len(kept):
        _remove(work)  # so that the next call looks at the files again
        reasons = Counter(decoded.rejected["modality"] + " " + decoded.rejected["reason"])
        reasons += Counter(verdicts.tolist()) + Counter(selected.left_out)
        raise DataError(
            f"cohort '{cohort.name}': none of {selected.rows} rows became a sample; found "
            f"{', '.join(f'{n} {reason}' for reason, n in reasons.items()) or 'none recorded'}. "
            f"Correct the cohort's file, or the files under {source}."
        )
    store = work / "store"
    shutil.rmtree(store, ignore_errors=True)
    store.mkdir()
    frame, already_known = _write_samples(cohort, columns, decoded, kept=kept, store=store)
    _write_files(adapters, columns, frame, kept=kept, store=store)
    candidates, unlisted = _write_candidates(cohort, frame, source=source, store=store)
    _write_told(samples, decoded.rejected, store / "rejected.parquet")
    _write_told(samples, decoded.noted, store / "noted.parquet")
    about = {
        name: _write_array(cohort, name, adapter, decoded, frame, kept=kept, store=store)
        for name, adapter in adapters.items()
    }
    left_out = Counter({**selected.left_out}) + Counter(verdicts[verdicts != ""].tolist())
    write_manifest(
        cohort,
        frame,
        decoded,
        store=store,
        about=about,
        units={name: one.units for name, one in adapters.items() if hasattr(one, "units")},
        candidates=candidates,
        source_digest=(work / "key").read_text(encoding="utf-8"),
        rows=selected.rows,
        recorded=selected.recorded,
        left_out=left_out,
        already_known=already_known,
        implausible=_implausible(columns, adapters),
        unlisted=unlisted,
    )
    return store


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


def _selected(cohort: Cohort, adapters: Mapping[str, Any], *, source: Path, work: Path) -> Selected:
    """The samples; read once, so that going on uses the very same rows."""
    file = work / "samples.arrow"
    counts = ("rows", "left_out", "recorded")
    if not file.exists():
        read = read_samples(cohort, adapters, source=source, scratch=work / "scratch")
        partial = work / "samples.arrow.partial"
        notes = {"counts": json.dumps({name: getattr(read, name) for name in counts})}
        table = read.samples.replace_schema_metadata(notes)
        feather.write_feather(table, str(partial), compression="uncompressed")
        partial.replace(file)
    table = feather.read_table(str(file))
    return Selected(table, **json.loads((table.schema.metadata or {})[b"counts"]))


def _columns(cohort: Cohort, samples: pa.Table, decoded: Decoded) -> dict[str, pa.Array]:
    """Every column of every sample; of candidates, the fields of the one that was taken."""
    rows = samples["row"].combine_chunks()
    columns = {name: samples[name].combine_chunks() for name in ("sample", "subject", "split")}
    columns |= {f"row.{field.name}": rows.field(field.name) for field in rows.type}
    for place, definition in enumerate(cohort.modalities.values()):
        if definition.candidates is None:
            continue
        lists = columns.pop(f"row.{definition.candidates}")
        chosen = decoded.chosen[:, place]
        first = lists.offsets.to_numpy()[:-1]
        taken = lists.values.take(pa.array(first + chosen, mask=chosen < 0))
        names = [f"row.{field.name}" for field in taken.type]
        columns |= dict(zip(names, taken.flatten(), strict=True))
    return columns


def _verdicts(
    cohort: Cohort, columns: Mapping[str, pa.Array], decoded: Decoded
) -> Shaped[np.ndarray, " sample"]:
    """Why each sample is left out; empty where it is kept."""
    present = decoded.present.sum(axis=1)
    tried = np.zeros(len(present), dtype=bool)
    tried[decoded.rejected["row"].to_numpy(dtype=np.int64)] = True
    verdicts = np.full(len(present), "", dtype=object)
    for column in reversed(cohort.samples.required):
        empty = [is_empty(value) for value in columns[f"row.{column}"].to_pylist()]
        verdicts[np.array(empty, dtype=bool)] = f"no-{column}"
    few = present < cohort.samples.at_least
    verdicts[few & ~tried] = too_few(cohort, "recorded")
    verdicts[few & tried] = too_few(cohort, "usable")
    return verdicts


def _implausible(
    columns: Mapping[str, pa.Array], adapters: Mapping[str, Any]
) -> dict[str, dict[str, int]]:
    """Single values that were not taken, of the modalities whose adapters tell."""
    return {
        name: adapter.implausible(
            {
                column: columns[f"row.{column}"].to_numpy(zero_copy_only=False)
                for column in adapter.columns
            }
        )
        for name, adapter in adapters.items()
        if hasattr(adapter, "implausible")
    }


def _write_samples(
    cohort: Cohort,
    columns: Mapping[str, pa.Array],
    decoded: Decoded,
    *,
    kept: Int[np.ndarray, " kept"],
    store: Path,
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Write what is known of each sample; of each outcome, how many were known too early."""
    taken = {name: column.take(pa.array(kept)) for name, column in columns.items()}
    written = {name: taken[name] for name in ("sample", "subject", "split")}
    for place, name in enumerate(cohort.modalities):
        written[f"present_{name}"] = pa.array(decoded.present[kept, place])
    measured = [_hours(taken[f"row.{column}"]) for column in cohort.samples.measured]
    last = np.fmax.reduce(measured) if measured else None
    already_known = {}
    for name, outcome in cohort.outcomes.items():
        labels = _labels(outcome, taken[f"row.{outcome.column}"])
        if outcome.known and last is not None:
            known = _hours(taken[f"row.{outcome.known}"])
            early = ~np.isnan(labels) & ~(known > last)
            labels[early] = np.nan
            already_known[name] = int(early.sum())
        written[f"outcome_{name}"] = pa.array(labels)
    for name, subgroup in cohort.subgroups.items():
        levels = _levels(taken[f"row.{subgroup.column}"].to_pylist(), subgroup)
        written[f"group_{name}"] = pa.array(levels, type=pa.string())
    for column in cohort.samples.keep:
        written[f"kept_{column}"] = taken[f"row.{column}"]
    parquet.write_table(pa.table(written), store / "samples.parquet")
    return pd.read_parquet(store / "samples.parquet"), already_known


def _labels(outcome: Outcome, column: pa.Array) -> Float[np.ndarray, " sample"]:
    """1 where an outcome is positive, 0 where negative, NaN where unknown, else uncertain."""
    meanings = dict.fromkeys(map(_code, outcome.uncertain), UNCERTAIN)
    meanings |= dict.fromkeys(map(_code, outcome.positive), 1.0)
    meanings |= dict.fromkeys(map(_code, outcome.negative), 0.0)
    return np.array([meanings.get(_code(value), np.nan) for value in column.to_pylist()])


def _hours(column: pa.Array) -> Float[np.ndarray, " sample"]:
    return np.array([np.nan if is_empty(v) else float(v) for v in column.to_pylist()])


def _levels(values: Sequence[Any], subgroup: Subgroup) -> list[str | None]:
    """The group of each sample, in words; None where it is not known."""
    codes = [_code(value) for value in values]
    if subgroup.bands:
        numbers = [code if isinstance(code, float) else np.nan for code in codes]
        return banded(np.array(numbers), subgroup.bands).tolist()
    return [f"{code:g}" if isinstance(code, float) else code for code in codes]


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


def _write_files(
    adapters: Mapping[str, Any],
    columns: Mapping[str, pa.Array],
    frame: pd.DataFrame,
    *,
    kept: Int[np.ndarray, " kept"],
    store: Path,
) -> None:
    """The file that each measurement is of, empty where there is none."""
    files = {}
    for name, adapter in adapters.items():
        pattern = getattr(adapter, "path", "")
        fields = file_columns(pattern)
        values = [columns[f"row.{field}"].take(pa.array(kept)).to_pylist() for field in fields]
        if fields:
            files[name] = [
                pattern.format(**dict(zip(fields, row, strict=True))) if present else ""
                for present, *row in zip(frame[f"present_{name}"], *values, strict=True)
            ]
    if files:
        parquet.write_table(pa.table(files), store / "files.parquet")


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
    # Files are mapped anew for every part, so that no more than one stays in memory.
    source, target = decoded.folder / f"{name}.npy", store / f"{name}.npy"
    create_array(target, adapter, samples=len(kept))
    present = frame[f"present_{name}"].to_numpy()
    for rows in _parts(np.flatnonzero(present)):
        np.load(target, mmap_mode="r+")[rows] = np.load(source, mmap_mode="r")[kept[rows]]
    training = np.flatnonzero(present & (frame["split"] == "train").to_numpy())
    return {
        "adapter": cohort.modalities[name].adapter,
        "shape": list(adapter.shape),
        "dtype": adapter.dtype,
        "unit": adapter.unit,
        "parts": list(adapter.parts),
        "encoder": adapter.encoder,
        "statistics": adapter.fit(
            np.load(target, mmap_mode="r")[rows] for rows in _parts(training)
        ),
        "sha256": checksum(target),
    }


def _parts(rows: Int[np.ndarray, " row"]) -> Iterator[Int[np.ndarray, " part"]]:
    yield from (rows[first : first + PART] for first in range(0, len(rows), PART))
