"""The tables of a store, of what was read of each sample: a part of them is in memory at a time."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from jaxtyping import Bool, Float, Int, Shaped

from clinical_symile.config.cohort import Cohort
from clinical_symile.config.cohort_schema import Outcome, Subgroup
from clinical_symile.data.ingest.decode import Decoded
from clinical_symile.data.ingest.row_file import RowFile
from clinical_symile.data.ingest.samples import too_few_message
from clinical_symile.data.store import UNCERTAIN
from clinical_symile.metrics.subgroups import age_bands
from clinical_symile.modalities.base import file_columns, is_empty

NOTE_TABLES = {"rejected": ("modality", "file", "reason", "detail"), "noted": ("modality", "note")}

Columns = Mapping[str, pa.Array]


@dataclass
class Written:
    """Which rows became samples, and what was left out.

    Attributes:
        kept: places of those rows.
        left_out: how many of the others, by reason.
        already_known: samples whose outcome was known before their last measurement, by outcome.
        implausible: single values that were not taken, by modality and part.
    """

    kept: Int[np.ndarray, " kept"]
    left_out: Counter[str] = field(default_factory=Counter)
    already_known: dict[str, int] = field(default_factory=dict)
    implausible: dict[str, dict[str, int]] = field(default_factory=dict)


def write_store_tables(
    cohort: Cohort, adapters: Mapping[str, Any], rows: RowFile, decoded: Decoded, *, store: Path
) -> Written:
    """Write `samples.parquet` and `files.parquet`, of the rows that become samples."""
    written, kept = Written(np.zeros(0, dtype=np.int64)), []
    with ExitStack() as writers:
        opened: dict[str, parquet.ParquetWriter] = {}
        for first, batch in rows.batches():
            chosen = decoded.chosen[first : first + len(batch)]
            tried = decoded.tried[first : first + len(batch)]
            columns = _columns(cohort, batch, chosen)
            verdicts = _verdicts(cohort, columns, present=chosen >= 0, tried=tried)
            taken = np.flatnonzero(verdicts == "")
            kept.append(first + taken)
            written.left_out.update(verdicts[verdicts != ""].tolist())
            _add(written.implausible, _implausible(columns, adapters))
            columns = {name: column.take(pa.array(taken)) for name, column in columns.items()}
            samples, known = _samples(cohort, columns, chosen[taken] >= 0)
            _add({"known": written.already_known}, {"known": known})
            files = _files(adapters, columns, chosen[taken] >= 0)
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
    """Write what was told of recordings, by sample.

    Args:
        rows: all samples.
        lines: the place of a row, and then what `TOLD[key]` names; in the order of rows.
        file: to write.
        key: `rejected` or `noted`.
    """
    texts = [pa.field(name, pa.string()) for name in NOTE_TABLES[key]]
    schema = pa.schema([rows.schema.field("sample"), *texts])
    coming = iter(lines)
    line = next(coming, None)
    with parquet.ParquetWriter(file, schema) as writer:
        for first, batch in rows.batches():
            told: list[Sequence[Any]] = []
            while line is not None and line[0] < first + len(batch):
                told.append(line)
                line = next(coming, None)
            if told:
                places, *columns = zip(*told, strict=True)
                sample = batch.column("sample").take(pa.array([place - first for place in places]))
                arrays = [sample, *(pa.array(column, type=pa.string()) for column in columns)]
                writer.write_table(pa.table(arrays, schema=schema))


def _add(counts: dict[str, dict[str, int]], more: Mapping[str, Mapping[str, int]]) -> None:
    """Add counts to others of the same names."""
    for name, words in more.items():
        of_name = counts.setdefault(name, {})
        for word, count in words.items():
            of_name[word] = of_name.get(word, 0) + count


def _columns(
    cohort: Cohort, batch: pa.RecordBatch, chosen: Int[np.ndarray, "sample modality"]
) -> dict[str, pa.Array]:
    """Every column of every sample; of candidates, the fields of the one that was taken."""
    rows = batch.column("row")
    columns = {name: batch.column(name) for name in ("sample", "subject", "split")}
    columns |= {f"row.{field.name}": rows.field(field.name) for field in rows.type}
    for place, definition in enumerate(cohort.modalities.values()):
        if definition.candidates is None:
            continue
        lists = columns.pop(f"row.{definition.candidates}")
        first = lists.offsets.to_numpy()[:-1]
        places = pa.array(first + chosen[:, place], mask=chosen[:, place] < 0)
        taken = lists.values.take(places)
        names = [f"row.{field.name}" for field in taken.type]
        columns |= dict(zip(names, taken.flatten(), strict=True))
    return columns


def _verdicts(
    cohort: Cohort,
    columns: Columns,
    *,
    present: Bool[np.ndarray, "sample modality"],
    tried: Bool[np.ndarray, " sample"],
) -> Shaped[np.ndarray, " sample"]:
    """Why each sample is left out; empty where it is kept."""
    verdicts = np.full(len(present), "", dtype=object)
    for column in reversed(cohort.samples.required):
        empty = [is_empty(value) for value in columns[f"row.{column}"].to_pylist()]
        verdicts[np.array(empty, dtype=bool)] = f"no-{column}"
    few = present.sum(axis=1) < cohort.samples.at_least
    verdicts[few & ~tried] = too_few_message(cohort, "recorded")
    verdicts[few & tried] = too_few_message(cohort, "usable")
    return verdicts


def _implausible(columns: Columns, adapters: Mapping[str, Any]) -> dict[str, dict[str, int]]:
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


def _samples(
    cohort: Cohort, columns: Columns, present: Bool[np.ndarray, "sample modality"]
) -> tuple[pa.Table, dict[str, int]]:
    """What is known of each sample; and of each outcome, how many were known too early."""
    told = {name: columns[name] for name in ("sample", "subject", "split")}
    for place, name in enumerate(cohort.modalities):
        told[f"present_{name}"] = pa.array(present[:, place])
    measured = [_hours(columns[f"row.{column}"]) for column in cohort.samples.measured]
    last = np.fmax.reduce(measured) if measured else None
    already_known = {}
    for name, outcome in cohort.outcomes.items():
        labels = _labels(outcome, columns[f"row.{outcome.column}"])
        if outcome.known and last is not None:
            known = _hours(columns[f"row.{outcome.known}"])
            early = ~np.isnan(labels) & ~(known > last)
            labels[early] = np.nan
            already_known[name] = int(early.sum())
        told[f"outcome_{name}"] = pa.array(labels)
    for name, subgroup in cohort.subgroups.items():
        levels = _levels(columns[f"row.{subgroup.column}"].to_pylist(), subgroup)
        told[f"group_{name}"] = pa.array(levels, type=pa.string())
    for column in cohort.samples.keep:
        told[f"kept_{column}"] = columns[f"row.{column}"]
    return pa.table(told), already_known


def _files(
    adapters: Mapping[str, Any], columns: Columns, present: Bool[np.ndarray, "sample modality"]
) -> pa.Table:
    """The file that each measurement is of, empty where there is none."""
    files = {}
    for there, (name, adapter) in zip(present.T, adapters.items(), strict=True):
        pattern = getattr(adapter, "path", "")
        fields = file_columns(pattern)
        values = [columns[f"row.{field}"].to_pylist() for field in fields]
        if fields:
            named = [
                pattern.format(**dict(zip(fields, row, strict=True))) if one else ""
                for one, *row in zip(there, *values, strict=True)
            ]
            files[name] = pa.array(named, type=pa.string())
    return pa.table(files)


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
        return age_bands(np.array(numbers), subgroup.bands).tolist()
    return [f"{code:g}" if isinstance(code, float) else code for code in codes]


def _code(value: Any) -> Any:
    """A value of an outcome's column, in one form whether it was read as text or as a number."""
    if is_empty(value):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value).strip()
