"""Open the tables under a source folder in DuckDB, with a declared dialect, encoding and types."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from clinical_symile.config.cohort import Cohort
from clinical_symile.data.ingest.column_types import (
    conversion,
    date_formats,
    failed_conversions,
    format_advice,
    inferred_types_block,
    swapped,
    type_advice,
)
from clinical_symile.data.ingest.csv_files import csv_problem, read_dialect
from clinical_symile.data.ingest.csv_headers import header_for_message, known_column_names
from clinical_symile.data.ingest.sql import sql_identifier, sql_literal
from clinical_symile.errors import DataError


@dataclass(frozen=True)
class SourceTable:
    """A table under a source folder: one file, or all files that a name with a `*` matches.

    Attributes:
        name: its name in `[tables]`, or what it is for.
        file: its file, CSV, CSV.gz or Parquet.
        paths: the files that exist, in order.
        encoding: encoding of a CSV file.
        types: declared types of columns, the others being text; None to infer types.
        has_types: True for a table of `[tables]`, which `[types]` can describe.
    """

    name: str
    file: Path
    paths: tuple[Path, ...]
    encoding: str = "utf-8"
    types: Mapping[str, str] | None = None
    has_types: bool = True

    @property
    def is_parquet(self) -> bool:
        """True for a table whose columns have types of their own."""
        return self.file.suffix == ".parquet"


def query_tables(cohort: Cohort, source: Path) -> dict[str, SourceTable]:
    """Return the tables that a cohort's query reads, by name."""
    return {
        name: _source_table(cohort, source, name, file, has_types=True)
        for name, file in cohort.tables.items()
    }


def split_tables(cohort: Cohort, source: Path) -> dict[str, SourceTable]:
    """Return the tables of a cohort without a query, by split."""
    return {
        split: _source_table(cohort, source, split, file, has_types=False)
        for split, file in cohort.samples.tables.items()
    }


def candidate_tables(cohort: Cohort, source: Path) -> dict[str, SourceTable]:
    """Return the tables of published candidate lists, by split."""
    return {
        split: _source_table(cohort, source, split, lists.table, has_types=False)
        for split, lists in cohort.candidates.items()
    }


def _source_table(
    cohort: Cohort, source: Path, name: str, file: str, *, has_types: bool
) -> SourceTable:
    declared = cohort.encoding
    return SourceTable(
        name=name,
        file=source / file,
        paths=tuple(_files(source, file)),
        encoding=declared if isinstance(declared, str) else declared.get(name, "utf-8"),
        types=cohort.types.get(name) if has_types else None,
        has_types=has_types,
    )


def source_files(cohort: Cohort, source: Path) -> dict[str, Path]:
    """Return the tables of a cohort under the source folder: the key that names it, and the file.

    A name with a `*` matches several files, which are read in order.

    Raises:
        DataError: tables are missing; all of them at once.
    """
    if not source.is_dir():
        raise DataError(
            f"{source}: no such folder; expected the files of '{cohort.name}'.", code="CS-D001"
        )
    tables = {f"tables.{name}": table for name, table in query_tables(cohort, source).items()}
    tables |= {f"samples.tables.{name}": one for name, one in split_tables(cohort, source).items()}
    tables |= {f"candidates.{name}": one for name, one in candidate_tables(cohort, source).items()}
    missing = [
        f"{table.file}: no such file; expected {key} of cohort '{cohort.name}'. Put it there, or "
        "correct --source."
        for key, table in tables.items()
        if not table.paths
    ]
    if missing:
        raise DataError(*missing, code="CS-D002")
    return {
        key if len(table.paths) == 1 else f"{key}[{number}]": path
        for key, table in tables.items()
        for number, path in enumerate(table.paths)
    }


def connect(config: Mapping[str, Any] | None = None) -> duckdb.DuckDBPyConnection:
    """Open DuckDB in memory; it downloads no extensions."""
    return duckdb.connect(config={"autoinstall_known_extensions": False, **(config or {})})


def open_tables(
    connection: duckdb.DuckDBPyConnection, cohort: Cohort, source: Path, *, head: bool = False
) -> None:
    """Create a view of each table that the cohort's query reads.

    Args:
        connection: the connection that gets the views.
        cohort: the cohort with its `[tables]`.
        source: folder of the raw files.
        head: infer types from the first rows of a file, which is fast and may be wrong.

    Raises:
        DataError: DuckDB cannot read a file, or `[types]` names a column that it lacks; all
            problems at once.
    """
    problems: list[str] = []
    names = known_column_names(cohort)
    for name, table in query_tables(cohort, source).items():
        try:
            expression = reader_expression(table, head=head, names=names)
            with describe_read_errors(table):
                connection.execute(
                    f"CREATE OR REPLACE VIEW {sql_identifier(name)} AS FROM {expression}"
                )
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(*problems, code="CS-D003")


@contextmanager
def describe_read_errors(table: SourceTable) -> Iterator[None]:
    """Replace an error of DuckDB on a table by one without the values that it quotes.

    Raises:
        DataError: DuckDB cannot read the table.
    """
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise DataError(
            *file_problems(table)
            or [
                f"{table.file}: DuckDB cannot read it ({type(error).__name__}); expected CSV, "
                "CSV.gz or Parquet. Get the file again."
            ],
            code="CS-D003",
        ) from None


def file_problems(table: SourceTable) -> list[str]:
    """Return what is wrong with the files of a CSV table: cells, quotes, line ends or encoding."""
    if table.is_parquet:
        return []
    found = (csv_problem(path, table.encoding) for path in table.paths)
    return [problem for problem in found if problem]


def reader_expression(
    table: SourceTable,
    text: Iterable[str] = (),
    *,
    head: bool = False,
    names: Iterable[str] = (),
) -> str:
    """Return the DuckDB expression that reads a table in its declared or inferred types.

    Args:
        table: the table.
        text: columns that are read as text whatever they look like.
        head: infer types from the first rows alone.
        names: columns that the cohort's files name, for messages.

    Raises:
        DataError: the table cannot be read, `[types]` names a column that it lacks, or a column
            holds dates of which day and month cannot be distinguished.
    """
    if table.is_parquet:
        return f"read_parquet({sql_literal(table.file)})"
    if table.types is not None:
        return _typed_reader(table, table.types, frozenset(names))
    columns, formats = _inferred(table, head=head)
    as_text = {*text}
    if formats and not table.has_types:  # their form is a guess, and nothing computes with them
        as_text |= {column for column, kind in columns.items() if kind in ("DATE", "TIMESTAMP")}
        formats = {}
    _check_date_formats(table, columns, formats)
    kinds = ", ".join(
        f"{sql_literal(column)}: {sql_literal('VARCHAR' if column in as_text else kind)}"
        for column, kind in columns.items()
    )
    options = "".join(f", {key} = {sql_literal(value)}" for key, value in formats.items())
    return (
        f"read_csv({sql_literal(table.file)}, auto_detect = false, header = true, "
        f"columns = {{{kinds}}}, {_dialect_options(table)}{options})"
    )


def text_expression(table: SourceTable) -> str:
    """Return the DuckDB expression that reads all columns of a CSV table as text."""
    if table.is_parquet:
        return f"read_parquet({sql_literal(table.file)})"
    return (
        f"read_csv({sql_literal(table.file)}, header = true, all_varchar = true, "
        f"{_dialect_options(table)})"
    )


def _dialect_options(table: SourceTable) -> str:
    """Return the options of `read_csv` that it would otherwise guess from the first rows."""
    dialect = read_dialect(table.paths[0], table.encoding)
    return (
        f"delim = {sql_literal(dialect.delimiter)}, quote = '\"', escape = '\"', "
        f"encoding = {sql_literal(dialect.encoding)}"
    )


def _typed_reader(table: SourceTable, types: Mapping[str, str], names: frozenset[str]) -> str:
    text = text_expression(table)
    with describe_read_errors(table), connect() as connection:
        columns = connection.sql(f"FROM {text} LIMIT 0").columns
    known = {column.lower() for column in columns}
    if missing := [column for column in types if column.lower() not in known]:
        raise DataError(
            f"{table.file}: no column {', '.join(map(repr, missing))}, which [types.{table.name}] "
            f"names; it has {header_for_message(columns, names)}. Correct the name.",
            code="CS-D008",
        )
    replaced = ", ".join(
        f"{conversion(column, kind)} AS {sql_identifier(column)}"
        for column, kind in types.items()
        if kind != "VARCHAR"
    )
    blank_to_null = f"(SELECT if(trim(COLUMNS(*)) = '', NULL, COLUMNS(*)) FROM {text})"
    return f"(SELECT * REPLACE ({replaced}) FROM {blank_to_null})" if replaced else blank_to_null


def _inferred(table: SourceTable, *, head: bool) -> tuple[dict[str, str], dict[str, str]]:
    """Infer column types, and the formats of dates that are not in ISO form, from all files."""
    size = "" if head else ", sample_size = -1"
    columns: dict[str, str] = {}
    formats: dict[str, str] = {}
    for path in table.paths:
        with describe_read_errors(table), connect() as connection:
            query = (
                "SELECT Columns, DateFormat, TimestampFormat FROM "
                f"sniff_csv({sql_literal(path)}, header = true, {_dialect_options(table)}{size})"
            )
            ((found, date, timestamp),) = connection.execute(query).fetchall()
        kinds = {column["name"]: column["type"] for column in found}
        if columns and [*kinds] != [*columns]:
            raise DataError(
                f"{path}: its {len(kinds)} columns differ from the {len(columns)} of "
                f"{table.paths[0]}; expected the same names in the same order. Correct the file.",
                code="CS-D029",
            )
        columns = {
            column: kind if columns.get(column, kind) == kind else _common(columns[column], kind)
            for column, kind in kinds.items()
        }
        formats |= {"dateformat": date} if date else {}
        formats |= {"timestampformat": timestamp} if timestamp else {}
    return columns, formats


def _common(one: str, other: str) -> str:
    return "DOUBLE" if {one, other} == {"BIGINT", "DOUBLE"} else "VARCHAR"


def _check_date_formats(
    table: SourceTable, columns: Mapping[str, str], formats: Mapping[str, str]
) -> None:
    """Raise if an inferred date format would fit all values with day and month exchanged, too."""
    if not any(swapped(one) for one in formats.values()):
        return
    dates = [column for column, kind in columns.items() if kind in ("DATE", "TIMESTAMP")]
    with describe_read_errors(table), connect() as connection:
        found = {
            column: date_formats(connection, text_expression(table), column) for column in dates
        }
    orders = {
        column: {one[:2] for one in fitting if swapped(one)} for column, fitting in found.items()
    }
    # One column that shows the order shows it for the others of the file.
    if any(len(order) == 1 for order in orders.values()):
        return
    ambiguous = {column: found[column] for column, order in orders.items() if len(order) > 1}
    if not ambiguous:
        return
    changed = {
        column: f"{'date' if columns[column] == 'DATE' else 'timestamp'}:{fitting[0]}"
        for column, fitting in ambiguous.items()
    }
    advice = " ".join(
        format_advice(
            fitting, column, f"[types.{table.name}]", what=changed[column].partition(":")[0]
        )
        for column, fitting in ambiguous.items()
    )
    raise DataError(
        f"{table.file}: columns {', '.join(ambiguous)} hold dates. {advice} With [types] the other "
        "columns are text, so declare their types as well. For the first of the two formats that "
        f"is:\n{inferred_types_block(table.name, columns, changed)}",
        code="CS-D030",
    )


def empty_tables(cohort: Cohort, source: Path) -> list[str]:
    """Return a problem for each file of the cohort without rows, such as a header alone."""
    tables = {f"tables.{name}": table for name, table in query_tables(cohort, source).items()}
    tables |= {f"samples.tables.{name}": one for name, one in split_tables(cohort, source).items()}
    tables |= {f"candidates.{name}": one for name, one in candidate_tables(cohort, source).items()}
    return [
        f"{table.file}: has no rows; expected {key} of cohort '{cohort.name}'. Get the file again."
        for key, table in tables.items()
        if not count_rows(table, limit=1)
    ]


def count_rows(table: SourceTable, *, limit: int | None = None) -> int:
    """Return the number of rows of a table, counting at most `limit`.

    Raises:
        DataError: the table cannot be read.
    """
    rows = f"FROM {text_expression(table)}" + (f" LIMIT {limit}" if limit else "")
    with describe_read_errors(table), connect() as connection:
        ((count,),) = connection.execute(f"SELECT count(*) FROM ({rows})").fetchall()
    return count


def value_problems(cohort: Cohort, source: Path) -> list[str]:
    """Return a problem for each column with values of another than its declared type.

    A table whose lines, quotes or encoding are wrong is described instead.
    """
    problems: list[str] = []
    for table in query_tables(cohort, source).values():
        try:
            problems += _type_problems(table)
        except DataError as error:
            problems += error.problems
    for table in split_tables(cohort, source).values():
        problems += file_problems(table)
    return problems


def _type_problems(table: SourceTable) -> list[str]:
    if table.is_parquet:
        return []
    text = text_expression(table)
    types = table.types or {}
    counts = ["count(*)", *(failed_conversions(column, kind) for column, kind in types.items())]
    problems = []
    with describe_read_errors(table), connect() as connection:
        query = f"SELECT {', '.join(counts)} FROM {text}"
        ((_, *failed),) = connection.execute(query).fetchall()
        for (column, kind), count in zip(types.items(), failed, strict=True):
            if count:
                advice = type_advice(connection, text, column, kind, table.name)
                problems.append(
                    f"{table.file}: column '{column}' holds {count} values that are no {kind}, "
                    f"which [types.{table.name}] declares. {advice}"
                )
    return problems


def _files(source: Path, file: str) -> list[Path]:
    """Return the file of that name, or all that a name with a `*` matches."""
    paths = sorted(source.glob(file)) if "*" in file else [source / file]
    return [path for path in paths if path.is_file()]
