"""Select samples from raw tables: one checked row per sample."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from clinical_symile.config.cohort import Cohort
from clinical_symile.config.splits import SPLITS, SplitBySubject
from clinical_symile.data.ingest.columns import (
    NUMERIC_TYPES,
    recording_time_columns,
    split_expression,
    used_columns,
)
from clinical_symile.data.ingest.coverage import coverage_problems, has_value
from clinical_symile.data.ingest.query import make_samples
from clinical_symile.data.ingest.row_file import BATCH_ROWS, write_row_file
from clinical_symile.data.ingest.sql import sql_identifier, sql_literal
from clinical_symile.data.ingest.tables import connect, empty_tables, open_tables
from clinical_symile.errors import DataError

_MAX_IDS_SHOWN = 5  # in one message
# Cells that are no id, as spreadsheets, databases and statistics programs write them.
_NO_ID = ("", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "nat", "null", "none", "nil")
_NO_ID += (".", "-", "?", "unknown", "missing")
MEMORY_LIMIT = "2500MB"  # of DuckDB; the rest goes to the scratch folder


@dataclass(frozen=True)
class SelectedSamples:
    """Counts of what the tables hold, before a recording is opened.

    `expect_samples` moves samples that the tables alone rule out from `splits` to `left_out`.

    Attributes:
        problems: what no sample has, and values in another unit: see `CoverageProblem`.
        rows: number of rows that the query returned.
        left_out: number of rows that are no samples, by reason.
        recorded: number of distinct rows without a reason against them, by the modalities that
            are recorded, joined by `+`.
        splits: number of samples and of subjects of each split that has any.
    """

    rows: int
    left_out: Mapping[str, int]
    recorded: Mapping[str, int]
    splits: Mapping[str, Sequence[int]]
    problems: Sequence[Mapping[str, str]] = ()

    @property
    def samples(self) -> int:
        """Number of samples in all splits."""
        return sum(samples for samples, _ in self.splits.values())


def read_samples(
    cohort: Cohort, adapters: Mapping[str, Any], *, source: Path, scratch: Path, out: Path
) -> SelectedSamples:
    """Select every sample with as many recorded modalities as the cohort requires.

    The samples are written in their order as a `RowFile` with the columns `sample`, `subject`,
    `split`, `row`, a struct of all columns that the cohort names, and `recorded`, one Boolean for
    each modality.

    Args:
        cohort: the cohort to read.
        adapters: the adapters of its modalities, by name.
        source: folder of the raw files.
        scratch: folder for what does not fit into memory.
        out: the file to write.

    Raises:
        DataError: a column is missing or holds other values than numbers, an id is missing or
            repeated, a subject is in two splits, a split is unknown, or there are no rows; all
            problems at once. Or the query needs too much memory.
    """
    config: dict[str, Any] = {
        "temp_directory": str(scratch),
        "memory_limit": MEMORY_LIMIT,
        # Ties of a query, and sums of decimals, then depend on the order of the files alone.
        "threads": 1,
        "preserve_insertion_order": True,
    }
    with connect(config) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        try:
            return _read_samples(connection, cohort, adapters, source=source, out=out)
        except duckdb.OutOfMemoryException:
            raise DataError(
                f"cohort '{cohort.name}': its query needs more memory than the limit of "
                f"{MEMORY_LIMIT}. Drop rows and columns in the query before it joins or sorts "
                "them.",
                code="CS-D007",
            ) from None


def _read_samples(
    connection: duckdb.DuckDBPyConnection,
    cohort: Cohort,
    adapters: Mapping[str, Any],
    *,
    source: Path,
    out: Path,
) -> SelectedSamples:
    numbers = {column for adapter in adapters.values() for column in adapter.numbers}
    text = {column for adapter in adapters.values() for column in adapter.columns} - numbers
    open_tables(connection, cohort, source)
    where = make_samples(connection, cohort, source, text)
    uses = used_columns(connection, cohort, adapters, where)
    reasons = _drop_left_out(connection, cohort)
    _check_numbers(
        connection, where, numbers | ({*recording_time_columns(cohort)} & {*uses}), values=numbers
    )
    recorded = {
        name: _recorded_condition(cohort.modalities[name].candidates, adapter)
        for name, adapter in adapters.items()
    }
    _make_rows(connection, cohort, uses, numbers, recorded)
    ((left,),) = connection.execute("SELECT count(*) FROM _samples").fetchall()
    problems = coverage_problems(
        connection,
        cohort,
        adapters,
        source=source,
        recorded=_recorded_counts(connection, recorded),
        total=left + sum(reasons.values()),
    )
    connection.execute("DROP TABLE _samples")
    if connection.execute("SELECT count(*) FROM _rows").fetchall() == [(0,)]:
        raise DataError(
            f"{where}: no rows; expected one per sample. Correct the query or table.",
            *empty_tables(cohort, source),
            code="CS-D006",
        )
    drawn = cohort.samples.split if isinstance(cohort.samples.split, SplitBySubject) else None
    _check_rows(connection, where, split_is_drawn=drawn is not None)
    if drawn:
        _draw(connection, drawn)
    enough = f"list_count(list_filter(recorded, lambda one: one)) >= {cohort.samples.at_least}"
    patterns = connection.execute(
        "SELECT recorded, count(*) FROM _rows GROUP BY recorded ORDER BY recorded DESC"
    ).fetchall()
    splits = connection.execute(
        f"SELECT split, count(*), count(DISTINCT subject) FROM _rows WHERE {enough} GROUP BY split"
    ).fetchall()
    rows = connection.sql(
        f"SELECT sample, subject, split, row, recorded FROM _rows WHERE {enough} ORDER BY sample"
    )
    write_row_file(rows.to_arrow_reader(BATCH_ROWS), out)
    distinct = sum(count for _, count in patterns)
    by_split = {split: counts for split, *counts in sorted(splits, key=_split_order)}
    few = distinct - sum(samples for samples, _ in by_split.values())
    left_out = (
        *reasons.items(),
        ("repeated-row", left - distinct),
        (too_few_message(cohort, "recorded"), few),
    )
    return SelectedSamples(
        rows=left + sum(reasons.values()),
        left_out={reason: count for reason, count in left_out if count},
        recorded={
            "+".join(
                name for name, is_recorded in zip(recorded, pattern, strict=True) if is_recorded
            ): count
            for pattern, count in patterns
        },
        splits=by_split,
        problems=[asdict(problem) for problem in problems],
    )


def _recorded_counts(
    connection: duckdb.DuckDBPyConnection, modalities: Iterable[str]
) -> dict[str, int]:
    """Return the number of distinct rows that record each modality."""
    names = [*modalities]
    counts = ", ".join(f"count(*) FILTER (recorded[{n}])" for n in range(1, len(names) + 1))
    ((*found,),) = connection.execute(f"SELECT {counts} FROM _rows").fetchall()
    return dict(zip(names, found, strict=True))


def _split_order(line: Sequence[Any]) -> int:
    return SPLITS.index(line[0])


def _make_rows(
    connection: duckdb.DuckDBPyConnection,
    cohort: Cohort,
    uses: Sequence[str],
    numbers: Collection[str],
    recorded: Mapping[str, str],
) -> None:
    """Create `_rows`: every distinct row, and which modalities it records."""
    columns = ", ".join(
        f"TRY_CAST({sql_identifier(c)} AS DOUBLE) AS {sql_identifier(c)}"
        if c in numbers
        else sql_identifier(c)
        for c in uses
    )
    relation = connection.sql("FROM _samples LIMIT 0")
    kinds = dict(zip(relation.columns, map(str, relation.types), strict=True))
    sample, subject = (
        _id_expression(column, kinds[column])
        for column in (cohort.samples.sample, cohort.samples.subject)
    )
    connection.execute(
        f"CREATE TEMP TABLE _rows AS SELECT {sample} AS sample, {subject} AS subject, "
        f"{split_expression(cohort)} AS split, _row AS row, "
        f"[{', '.join(recorded.values())}] AS recorded "
        f"FROM (SELECT DISTINCT {columns} FROM _samples) AS _row"
    )


def _id_expression(column: str, kind: str) -> str:
    """Return the SQL expression of an id: trimmed, and NULL for `NA`, NaN and the like."""
    name = sql_identifier(column)
    if kind in ("DOUBLE", "FLOAT"):
        return f"CASE WHEN NOT isnan({name}) THEN {name} END"
    if kind != "VARCHAR":
        return name
    words = ", ".join(map(sql_literal, _NO_ID))
    return f"CASE WHEN lower(trim({name})) IN ({words}) THEN NULL ELSE trim({name}) END"


def too_few_message(cohort: Cohort, what: str) -> str:
    """Return the reason to leave out a sample with too few modalities.

    Args:
        cohort: the cohort, which says how many a sample must have.
        what: `recorded`, or `usable` where recordings were tried.
    """
    least = cohort.samples.at_least
    return f"nothing-{what}" if least == 1 else f"fewer-than-{least}-{what}"


def _drop_left_out(connection: duckdb.DuckDBPyConnection, cohort: Cohort) -> dict[str, int]:
    """Remove the rows that the query gives a reason against; return their number by reason."""
    if cohort.samples.left_out is None:
        return {}
    reason = sql_identifier(cohort.samples.left_out)
    counts = connection.execute(
        f"SELECT CAST({reason} AS VARCHAR), count(*) FROM _samples WHERE {reason} IS NOT NULL "
        "GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    connection.execute(f"DELETE FROM _samples WHERE {reason} IS NOT NULL")
    return dict(counts)


def _recorded_condition(candidates: str | None, adapter: Any) -> str:
    """Return the SQL condition under which a row records a modality.

    All columns that name the recording must hold a value, and any of those with the measurement.
    Without a statement of the adapter, any column will do: `read` decides what it needs.
    """
    if candidates:
        return f"coalesce(len({sql_identifier(candidates)}), 0) > 0"
    named_by = getattr(adapter, "named_by", ())
    values = getattr(adapter, "values", adapter.numbers)
    if not named_by and not values:
        values = adapter.columns
    any_value = " OR ".join(map(has_value, values))
    needed = [has_value(column) for column in named_by]
    return " AND ".join([*needed, *([f"({any_value})"] if any_value else [])]) or "true"


def _check_numbers(
    connection: duckdb.DuckDBPyConnection,
    where: str,
    columns: Iterable[str],
    *,
    values: Collection[str],
) -> None:
    """Raise for columns that must hold numbers and do not; `values` are those of adapters."""
    problems = []
    described = connection.execute("DESCRIBE _samples").fetchall()
    numeric = {name for name, kind, *_ in described if kind in NUMERIC_TYPES}
    for column in sorted({*columns} - numeric):
        text = f"trim(CAST({sql_identifier(column)} AS VARCHAR))"
        no_number = f"{text} != '' AND TRY_CAST({text} AS DOUBLE) IS NULL"
        has_comma = f"regexp_full_match({text}, '[<>≤≥=+-]*\\s*\\d*,\\d+')"
        ((count, commas),) = connection.execute(
            f"SELECT count(*), count(*) FILTER ({has_comma}) FROM _samples WHERE {no_number}"
        ).fetchall()
        if count:
            problems.append(
                f"{where}: column '{column}' holds {count} values that are not numbers; expected "
                "numbers, or an empty cell where a value is missing. "
                + _advice_on_numbers(commas, count, is_value=column in values)
            )
    if problems:
        raise DataError(*problems, code="CS-D009")


def _advice_on_numbers(commas: int, count: int, *, is_value: bool) -> str:
    """Return what to do about values that are not numbers, some of them with a decimal comma."""
    if commas:
        advice = (
            f"{commas} values have a decimal comma: write replace(…, ',', '.') around the column "
            'in the query, or declare it as "double:," in [types].'
        )
        if commas == count:
            return advice
        return f"{advice} For the others, clean the table" + (
            ", or set 'censored' of the modality." if is_value else "."
        )
    return "Clean them in the query or the table" + (
        ", or set 'censored' of the modality." if is_value else "."
    )


def _check_rows(connection: duckdb.DuckDBPyConnection, where: str, *, split_is_drawn: bool) -> None:
    def column(query: str) -> list[Any]:
        return [value for (value,) in connection.execute(query).fetchall()]

    problems = []
    for name in ("sample", "subject"):
        (empty,) = column(f"SELECT count(*) FROM _rows WHERE {name} IS NULL")
        if empty:
            problems.append(
                f"{where}: {empty} rows have no {name}; expected one in each. Complete the table."
            )
    repeated = column("SELECT sample FROM _rows GROUP BY sample HAVING count(*) > 1 ORDER BY 1")
    if repeated:
        problems.append(
            f"{where}: {len(repeated)} samples have several rows that differ, such as "
            f"{_some(repeated)}; expected one row per sample. Choose one in the query or table."
        )
    if not split_is_drawn:
        unknown = {str(value) for value in column("SELECT DISTINCT split FROM _rows")} - {*SPLITS}
        if unknown:
            problems.append(
                f"{where}: the split holds {len(unknown)} other values than {', '.join(SPLITS)}. "
                "Check that it is the right column, or rename its values in the query or table."
            )
        several = column(
            "SELECT subject FROM _rows GROUP BY subject HAVING count(DISTINCT split) > 1 ORDER BY 1"
        )
        if several:
            problems.append(
                f"{where}: {len(several)} subjects are in several splits, such as "
                f"{_some(several)}; expected each in one. Move a subject's samples together."
            )
    if problems:
        raise DataError(*problems, code="CS-D010")


def _draw(connection: duckdb.DuckDBPyConnection, split: SplitBySubject) -> None:
    """Set the split of each row by a seeded draw of subjects."""
    query = "SELECT DISTINCT subject FROM _rows ORDER BY subject"
    subjects = connection.sql(query).to_arrow_table()
    order = np.random.default_rng(split.seed).permutation(len(subjects))
    tuning = round(split.tuning * len(subjects))
    held_out = round(split.held_out * len(subjects))
    name = np.full(len(subjects), "train", dtype=object)
    name[order[:tuning]] = "tuning"
    name[order[tuning : tuning + held_out]] = "held_out"
    drawn = subjects.append_column("split", pa.array(name, type=pa.string()))
    connection.register("_drawn", drawn)
    connection.execute(
        "UPDATE _rows SET split = _drawn.split FROM _drawn WHERE _rows.subject = _drawn.subject"
    )


def _some(ids: Any) -> str:
    return ", ".join(str(value) for value in list(ids)[:_MAX_IDS_SHOWN])
