"""Write a store's tables and arrays for the samples that are kept, part by part."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet
from jaxtyping import Bool, Float, Int, Shaped

from clinical_symile.config.cohort import Cohort
from clinical_symile.config.cohort_schema import Outcome, Subgroup
from clinical_symile.data.ingest.columns import comparable_code
from clinical_symile.data.ingest.decode import Decoded, create_array, reserve_rows
from clinical_symile.data.ingest.row_file import RowFile
from clinical_symile.data.ingest.samples import too_few_message
from clinical_symile.data.ingest.worker_pool import CHUNK_SIZE
from clinical_symile.data.store import UNCERTAIN, array_path
from clinical_symile.hashing import file_sha256
from clinical_symile.metrics.subgroups import age_bands
from clinical_symile.modalities.base import file_columns, is_empty

_NOTE_COLUMNS = {
    "rejected": ("modality", "file", "reason", "detail"),
    "noted": ("modality", "note"),
    "recordings": ("modality", "file", "bytes", "sha256"),
}
_COUNTS = ("bytes",)  # columns of whole numbers

_Columns = Mapping[str, pa.Array]


@dataclass(repr=False)
class WrittenTables:
    """The rows that became samples, and counts of what was left out.

    Attributes:
        kept: indices of the rows that became samples.
        left_out: number of the other rows, by reason.
        already_known: number of samples whose outcome was known before their last measurement, by
            outcome.
        implausible: number of single values that were not stored, by modality and part.
    """

    kept: Int[np.ndarray, " kept"]
    left_out: Counter[str] = field(default_factory=Counter)
    already_known: dict[str, int] = field(default_factory=dict)
    implausible: dict[str, dict[str, int]] = field(default_factory=dict)


def write_store_tables(
    cohort: Cohort, adapters: Mapping[str, Any], rows: RowFile, decoded: Decoded, *, store: Path
) -> WrittenTables:
    """Write `samples.parquet` and `files.parquet` for the rows that become samples."""
    written, kept = WrittenTables(np.zeros(0, dtype=np.int64)), []
    with ExitStack() as writers:
        opened: dict[str, parquet.ParquetWriter] = {}
        for first, batch in rows.batches():
            candidate = decoded.candidate[first : first + len(batch)]
            tried = decoded.tried[first : first + len(batch)]
            columns = sample_columns(cohort, batch, candidate)
            verdicts = reasons_to_leave_out(cohort, columns, present=candidate >= 0, tried=tried)
            taken = np.flatnonzero(verdicts == "")
            kept.append(first + taken)
            written.left_out.update(verdicts[verdicts != ""].tolist())
            _add(written.implausible, _implausible(columns, adapters))
            columns = {name: column.take(pa.array(taken)) for name, column in columns.items()}
            samples, known = _samples(cohort, columns, candidate[taken] >= 0)
            _add({"known": written.already_known}, {"known": known})
            files = _files(adapters, columns, candidate[taken] >= 0)
            for name, table in (("samples", samples), ("files", files)):
                if table.num_columns and name not in opened:
                    writer = parquet.ParquetWriter(store / f"{name}.parquet", table.schema)
                    opened[name] = writers.enter_context(writer)
                if len(table):
                    opened[name].write_table(table)
    written.kept = np.concatenate([written.kept, *kept])
    return written


def write_note_tables(
    rows: RowFile, lines: Iterable[Sequence[Any]], file: Path, *, key: str
) -> None:
    """Write `rejected.parquet`, `noted.parquet` or `recordings.parquet`, by sample.

    Args:
        rows: all samples.
        lines: the index of a row, and then the columns of the table; in the order of rows.
        file: the file to write.
        key: `rejected`, `noted` or `recordings`.
    """
    kinds = [pa.int64() if name in _COUNTS else pa.string() for name in _NOTE_COLUMNS[key]]
    fields = map(pa.field, _NOTE_COLUMNS[key], kinds)
    schema = pa.schema([rows.schema.field("sample"), *fields])
    coming = iter(lines)
    line = next(coming, None)
    with parquet.ParquetWriter(file, schema) as writer:
        for first, batch in rows.batches():
            group: list[Sequence[Any]] = []
            while line is not None and line[0] < first + len(batch):
                group.append(line)
                line = next(coming, None)
            if group:
                places, *columns = zip(*group, strict=True)
                sample = batch.column("sample").take(pa.array([place - first for place in places]))
                arrays = [sample, *map(pa.array, columns, kinds)]
                writer.write_table(pa.table(arrays, schema=schema))


def write_array(
    cohort: Cohort,
    name: str,
    adapter: Any,
    decoded: Decoded,
    *,
    kept: Int[np.ndarray, " kept"],
    store: Path,
) -> dict[str, Any]:
    """Copy one modality's measurements of the kept samples, and describe them.

    Args:
        cohort: the cohort.
        name: the modality.
        adapter: its adapter.
        decoded: all measurements.
        kept: indices of the kept rows.
        store: folder of the store, with `samples.parquet`.

    Returns:
        The modality's entry in the manifest, with statistics of the training samples.
    """
    # Files are mapped anew for every part, so that no more than one part stays in memory.
    source, target = array_path(decoded.folder, name), array_path(store, name)
    create_array(target, adapter, samples=len(kept))
    table = parquet.read_table(store / "samples.parquet", columns=["split", f"present_{name}"])
    present = table[f"present_{name}"].to_numpy()
    train = in_split(table["split"], "train").to_numpy()
    for rows in _chunks(np.flatnonzero(present)):
        array = np.load(target, mmap_mode="r+")
        reserve_rows(array, rows.tolist())
        array[rows] = np.load(source, mmap_mode="r")[kept[rows]]
    training = np.flatnonzero(present & train)
    return {
        "adapter": cohort.modalities[name].adapter,
        "shape": list(adapter.shape),
        "dtype": adapter.dtype,
        "unit": adapter.unit,
        "parts": list(adapter.parts),
        "encoder": adapter.encoder,
        "statistics": adapter.fit(
            np.load(target, mmap_mode="r")[rows] for rows in _chunks(training)
        ),
        "sha256": file_sha256(target),
        **({"decoding": dict(decoding)} if (decoding := getattr(adapter, "decoding", {})) else {}),
    }


def in_split(column: pa.ChunkedArray, split: str) -> pa.ChunkedArray:
    """Return True where a column of splits equals `split`."""
    return pc.call_function("equal", [column, pa.scalar(split)])


def _chunks(rows: Int[np.ndarray, " row"]) -> Iterator[Int[np.ndarray, " chunk"]]:
    yield from (rows[first : first + CHUNK_SIZE] for first in range(0, len(rows), CHUNK_SIZE))


def _add(counts: dict[str, dict[str, int]], more: Mapping[str, Mapping[str, int]]) -> None:
    """Add counts to those of the same names, in place."""
    for name, words in more.items():
        of_name = counts.setdefault(name, {})
        for word, count in words.items():
            of_name[word] = of_name.get(word, 0) + count


def sample_columns(
    cohort: Cohort, batch: pa.RecordBatch, candidate: Int[np.ndarray, "sample modality"]
) -> dict[str, pa.Array]:
    """Return every column of the samples; of candidates, the fields of the stored one."""
    rows = batch.column("row")
    columns = {name: batch.column(name) for name in ("sample", "subject", "split")}
    columns |= {f"row.{field.name}": rows.field(field.name) for field in rows.type}
    for place, definition in enumerate(cohort.modalities.values()):
        if definition.candidates is None:
            continue
        lists = columns.pop(f"row.{definition.candidates}")
        first = lists.offsets.to_numpy()[:-1]
        places = pa.array(first + candidate[:, place], mask=candidate[:, place] < 0)
        taken = lists.values.take(places)
        names = [f"row.{field.name}" for field in taken.type]
        columns |= dict(zip(names, taken.flatten(), strict=True))
    return columns


def reasons_to_leave_out(
    cohort: Cohort,
    columns: _Columns,
    *,
    present: Bool[np.ndarray, "sample modality"],
    tried: Bool[np.ndarray, " sample"],
) -> Shaped[np.ndarray, " sample"]:
    """Return the reason why each sample is left out; empty where it is kept."""
    verdicts = np.full(len(present), "", dtype=object)
    for column in reversed(cohort.samples.required):
        empty = [is_empty(value) for value in columns[f"row.{column}"].to_pylist()]
        verdicts[np.array(empty, dtype=bool)] = f"no-{column}"
    few = present.sum(axis=1) < cohort.samples.at_least
    verdicts[few & ~tried] = too_few_message(cohort, "recorded")
    verdicts[few & tried] = too_few_message(cohort, "usable")
    return verdicts


def _implausible(columns: _Columns, adapters: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Count single values that were not stored, for adapters that have `implausible`."""
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


def _samples(
    cohort: Cohort, columns: _Columns, present: Bool[np.ndarray, "sample modality"]
) -> tuple[pa.Table, dict[str, int]]:
    """Return the table of samples, and per outcome how many samples knew it too early."""
    table = {name: columns[name] for name in ("sample", "subject", "split")}
    for place, name in enumerate(cohort.modalities):
        table[f"present_{name}"] = pa.array(present[:, place])
    measured = [_hours(columns[f"row.{column}"]) for column in cohort.samples.measurement_hours]
    last = np.fmax.reduce(measured) if measured else None
    already_known = {}
    for name, outcome in cohort.outcomes.items():
        labels = _labels(outcome, columns[f"row.{outcome.column}"])
        if outcome.known and last is not None:
            known = _hours(columns[f"row.{outcome.known}"])
            early = ~np.isnan(labels) & ~(known > last)
            labels[early] = np.nan
            already_known[name] = int(early.sum())
        table[f"outcome_{name}"] = pa.array(labels)
    for name, subgroup in cohort.subgroups.items():
        levels = _levels(columns[f"row.{subgroup.column}"].to_pylist(), subgroup)
        table[f"group_{name}"] = pa.array(levels, type=pa.string())
    for column in cohort.samples.keep:
        table[f"kept_{column}"] = columns[f"row.{column}"]
    return pa.table(table), already_known


def _files(
    adapters: Mapping[str, Any], columns: _Columns, present: Bool[np.ndarray, "sample modality"]
) -> pa.Table:
    """Return the file of each measurement; empty where it is missing."""
    files = {}
    for is_present, (name, adapter) in zip(present.T, adapters.items(), strict=True):
        pattern = getattr(adapter, "path", "")
        fields = file_columns(pattern)
        values = [columns[f"row.{field}"].to_pylist() for field in fields]
        if fields:
            named = [
                pattern.format(**dict(zip(fields, row, strict=True))) if one else ""
                for one, *row in zip(is_present, *values, strict=True)
            ]
            files[name] = pa.array(named, type=pa.string())
    return pa.table(files)


def _labels(outcome: Outcome, column: pa.Array) -> Float[np.ndarray, " sample"]:
    """Return 1 for positive, 0 for negative, `UNCERTAIN`, and NaN where unknown."""
    meanings = dict.fromkeys(map(comparable_code, outcome.uncertain), UNCERTAIN)
    meanings |= dict.fromkeys(map(comparable_code, outcome.positive), 1.0)
    meanings |= dict.fromkeys(map(comparable_code, outcome.negative), 0.0)
    return np.array([meanings.get(comparable_code(value), np.nan) for value in column.to_pylist()])


def _hours(column: pa.Array) -> Float[np.ndarray, " sample"]:
    return np.array([np.nan if is_empty(v) else float(v) for v in column.to_pylist()])


def _levels(values: Sequence[Any], subgroup: Subgroup) -> list[str | None]:
    """Return the subgroup of each sample as text; None where it is unknown."""
    codes = [comparable_code(value) for value in values]
    if subgroup.bands:
        numbers = [code if isinstance(code, float) else np.nan for code in codes]
        return age_bands(np.array(numbers), subgroup.bands).tolist()
    return [f"{code:g}" if isinstance(code, float) else code for code in codes]
