"""Raw tables to one row per sample, checked."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from clinical_symile.config.cohort import Cohort
from clinical_symile.config.cohort_schema import SPLITS, SplitBySubject
from clinical_symile.data.ingest.columns import NUMERIC, recording_time_columns, used_columns
from clinical_symile.data.ingest.machine import available_cores
from clinical_symile.data.ingest.query import make_samples
from clinical_symile.data.ingest.row_file import BATCH, write_row_file
from clinical_symile.data.ingest.splits import split_expression
from clinical_symile.data.ingest.tables import connect, empty_tables, open_tables, sql_identifier
from clinical_symile.errors import DataError

SHOWN = 5  # ids in one message
MEMORY = "2500MB"  # of DuckDB; what does not fit goes to the scratch folder


@dataclass(frozen=True)
class Selected:
    """What the tables hold, before a recording is opened.

    Attributes:
        rows: how many the query returned.
        left_out: how many of them are no samples, by reason.
        recorded: how many that differ, and have no reason against them, have a recording of which
            modalities.
        splits: of each split that has any, how many samples and how many subjects.
    """

    rows: int
    left_out: Mapping[str, int]
    recorded: Mapping[str, int]
    splits: Mapping[str, Sequence[int]]

    @property
    def samples(self) -> int:
        """How many there are."""
        return sum(samples for samples, _ in self.splits.values())


def read_samples(
    cohort: Cohort, adapters: Mapping[str, Any], *, source: Path, scratch: Path, out: Path
) -> Selected:
    """Find every sample of which as many modalities are recorded as the cohort asks for.

    They are written as `Rows`, in their order: `sample`, `subject`, `split`, and `row`, a struct of
    all columns that the cohort names.

    Args:
        cohort: what to read.
        adapters: of its modalities.
        source: folder of the raw files.
        scratch: folder for what does not fit into memory.
        out: the file to write.

    Raises:
        DataError: a column is missing or not of numbers, an id is missing or repeated, a subject is
            in two splits, a split is unknown, or there are no rows, all that are found together;
            or the query needs too much memory.
    """
    config: dict[str, Any] = {
        "temp_directory": str(scratch),
        "memory_limit": MEMORY,
        "threads": available_cores(),
        "preserve_insertion_order": True,  # a query may break ties by the order of a file
    }
    with connect(config) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        try:
            return _read_samples(connection, cohort, adapters, source=source, out=out)
        except duckdb.OutOfMemoryException:
            raise DataError(
                f"cohort '{cohort.name}': its query needs more than the {MEMORY} that it may use. "
                "Have it leave out rows and columns before it joins or sorts them."
            ) from None


def _read_samples(
    connection: duckdb.DuckDBPyConnection,
    cohort: Cohort,
    adapters: Mapping[str, Any],
    *,
    source: Path,
    out: Path,
) -> Selected:
    numbers = {column for adapter in adapters.values() for column in adapter.numbers}
    text = {column for adapter in adapters.values() for column in adapter.columns} - numbers
    open_tables(connection, cohort, source)
    where = make_samples(connection, cohort, source, text)
    uses = used_columns(connection, cohort, adapters, where)
    reasons = _leave_out(connection, cohort)
    _check_numbers(
        connection, where, numbers | ({*recording_time_columns(cohort)} & {*uses}), measured=numbers
    )
    recorded = {
        name: _recorded(cohort.modalities[name].candidates, adapter)
        for name, adapter in adapters.items()
    }
    _make_rows(connection, cohort, uses, numbers, recorded)
    ((left,),) = connection.execute("SELECT count(*) FROM _samples").fetchall()
    connection.execute("DROP TABLE _samples")
    if connection.execute("SELECT count(*) FROM _rows").fetchall() == [(0,)]:
        raise DataError(
            f"{where}: no rows; expected one per sample. Correct the query or table.",
            *empty_tables(connection, cohort, source),
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
        f"SELECT sample, subject, split, row FROM _rows WHERE {enough} ORDER BY sample"
    )
    write_row_file(rows.to_arrow_reader(BATCH), out)
    distinct = sum(count for _, count in patterns)
    chosen = {split: counts for split, *counts in sorted(splits, key=_place)}
    few = distinct - sum(samples for samples, _ in chosen.values())
    left_out = (
        *reasons.items(),
        ("repeated-row", left - distinct),
        (too_few_message(cohort, "recorded"), few),
    )
    return Selected(
        rows=left + sum(reasons.values()),
        left_out={reason: count for reason, count in left_out if count},
        recorded={
            "+".join(name for name, there in zip(recorded, pattern, strict=True) if there): count
            for pattern, count in patterns
        },
        splits=chosen,
    )


def _place(line: Sequence[Any]) -> int:
    return SPLITS.index(line[0])


def _make_rows(
    connection: duckdb.DuckDBPyConnection,
    cohort: Cohort,
    uses: Sequence[str],
    numbers: Collection[str],
    recorded: Mapping[str, str],
) -> None:
    """Make `_rows`: every row that differs, and which modalities it has a recording of."""
    columns = ", ".join(
        f"TRY_CAST({sql_identifier(c)} AS DOUBLE) AS {sql_identifier(c)}"
        if c in numbers
        else sql_identifier(c)
        for c in uses
    )
    sample, subject = sql_identifier(cohort.samples.sample), sql_identifier(cohort.samples.subject)
    connection.execute(
        f"CREATE TEMP TABLE _rows AS SELECT {sample} AS sample, {subject} AS subject, "
        f"{split_expression(cohort)} AS split, _row AS row, "
        f"[{', '.join(recorded.values())}] AS recorded "
        f"FROM (SELECT DISTINCT {columns} FROM _samples) AS _row"
    )


def too_few_message(cohort: Cohort, what: str) -> str:
    """The reason for which a sample with too few modalities is left out."""
    least = cohort.samples.at_least
    return f"nothing-{what}" if least == 1 else f"fewer-than-{least}-{what}"


def _leave_out(connection: duckdb.DuckDBPyConnection, cohort: Cohort) -> dict[str, int]:
    """Remove the rows that the query gives a reason against; how many, by reason."""
    if cohort.samples.left_out is None:
        return {}
    reason = sql_identifier(cohort.samples.left_out)
    counts = connection.execute(
        f"SELECT CAST({reason} AS VARCHAR), count(*) FROM _samples WHERE {reason} IS NOT NULL "
        "GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    connection.execute(f"DELETE FROM _samples WHERE {reason} IS NOT NULL")
    return dict(counts)


def _recorded(candidates: str | None, adapter: Any) -> str:
    """The SQL condition under which a row has a recording of a modality."""
    if candidates:
        return f"coalesce(len({sql_identifier(candidates)}), 0) > 0"
    files = [column for column in adapter.columns if column not in adapter.numbers]
    text = [
        f"coalesce(trim(CAST({sql_identifier(c)} AS VARCHAR)), '') NOT IN ('', 'nan')"
        for c in files
    ]
    values = [f"coalesce(NOT isnan({sql_identifier(column)}), false)" for column in adapter.numbers]
    any_value = [f"({' OR '.join(values)})"] if values else []
    return " AND ".join([*text, *any_value]) or "true"


def _check_numbers(
    connection: duckdb.DuckDBPyConnection,
    where: str,
    columns: Iterable[str],
    *,
    measured: Collection[str],
) -> None:
    problems = []
    described = connection.execute("DESCRIBE _samples").fetchall()
    numeric = {name for name, kind, *_ in described if kind in NUMERIC}
    for column in sorted({*columns} - numeric):
        text = f"trim(CAST({sql_identifier(column)} AS VARCHAR))"
        ((count,),) = connection.execute(
            f"SELECT count(*) FROM _samples "
            f"WHERE {text} != '' AND TRY_CAST({text} AS DOUBLE) IS NULL"
        ).fetchall()
        if count:
            problems.append(
                f"{where}: column '{column}' holds {count} values that are not numbers; expected "
                "numbers, or nothing where there was no measurement. Clean them in the query or "
                "the table"
                + (
                    ", or have 'censored' of the modality say what limits count as."
                    if column in measured
                    else "."
                )
            )
    if problems:
        raise DataError(*problems)


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
                f"{where}: the split holds {len(unknown)} other values than {', '.join(SPLITS)}; "
                "expected none. Is it the right column? Name its values so in the query or table."
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
        raise DataError(*problems)


def _draw(connection: duckdb.DuckDBPyConnection, split: SplitBySubject) -> None:
    """Set the split of each row: a seeded draw of subjects, whichever samples they have."""
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
    return ", ".join(str(value) for value in list(ids)[:SHOWN])
