"""Open the tables under a source folder in DuckDB, with a declared dialect, encoding and types."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from clinical_symile.config.cohort import Cohort
from clinical_symile.data.ingest.column_types import (
    conversion,
    date_formats,
    distinct_formats,
    failed_conversions,
    format_advice,
    inferred_types_block,
    non_blank,
    swapped,
    without_nan,
)
from clinical_symile.data.ingest.conversion_advice import type_advice
from clinical_symile.data.ingest.csv_files import csv_problem, head_problem, read_dialect
from clinical_symile.data.ingest.csv_headers import header_for_message, known_column_names
from clinical_symile.data.ingest.source_tables import (
    SourceTable,
    all_tables,
    query_tables,
    split_tables,
)
from clinical_symile.data.ingest.sql import literal_path, sql_files, sql_identifier, sql_literal
from clinical_symile.errors import DataError, Problem

_DATE_TYPES = ("DATE", "TIMESTAMP")


def connect(config: Mapping[str, Any] | None = None) -> duckdb.DuckDBPyConnection:
    """Open DuckDB in memory; it downloads no extensions and reads no Python variables."""
    fixed = {"autoinstall_known_extensions": False, "python_enable_replacements": False}
    return duckdb.connect(config={**fixed, **(config or {})})


def restrict_files(connection: duckdb.DuckDBPyConnection, tables: Iterable[SourceTable]) -> None:
    """Let a connection read the files of these tables from now on, and no others; this is final."""
    named = {form for t in tables for path in t.paths for form in _forms(path)}
    connection.execute(f"SET allowed_paths = [{', '.join(map(sql_literal, sorted(named)))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _forms(path: Path) -> tuple[str, str]:
    """Return a path as it is and as `sql_files` writes it: DuckDB compares both."""
    return os.path.abspath(path), literal_path(path)  # noqa: PTH100


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
    return [Problem(problem, "CS-D003") for problem in found if problem]


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
        return _parquet_reader(table)
    if table.types is not None:
        return _typed_reader(table, table.types, frozenset(names))
    return _converted(table, inferred_types(table, frozenset(text), head=head))


def text_expression(table: SourceTable) -> str:
    """Return the DuckDB expression that reads all columns of a CSV table as text."""
    if table.is_parquet:
        return _parquet_files(table)
    return (
        f"read_csv({sql_files(table.paths)}, header = true, all_varchar = true, "
        f"hive_partitioning = false, {_dialect_options(table)})"
    )


def _parquet_files(table: SourceTable) -> str:
    """Return the DuckDB expression of Parquet files; names of folders are not columns."""
    return f"read_parquet({sql_files(table.paths)}, hive_partitioning = false)"


def _dialect_options(table: SourceTable) -> str:
    """Return the options of `read_csv` that it would otherwise guess from the first rows.

    Raises:
        DataError: the encoding is another than declared, or the files of the table differ.
    """
    problems = [head_problem(path, table.encoding) for path in table.paths]
    if found := [problem for problem in problems if problem]:
        raise DataError(*found, code="CS-D003")
    first, *others = (read_dialect(path, table.encoding) for path in table.paths)
    known = {cell.lower() for cell in first.header}
    differing = [
        f"{path}: lacks columns of {table.paths[0]}, or has another delimiter or lines before the "
        "header. Correct the file."
        for path, other in zip(table.paths[1:], others, strict=True)
        if (other.delimiter, other.blank_lines) != (first.delimiter, first.blank_lines)
        or not known <= {cell.lower() for cell in other.header}
    ]
    if differing:
        raise DataError(*differing, code="CS-D029")
    return (
        f"delim = {sql_literal(first.delimiter)}, quote = '\"', escape = '\"', comment = '', "
        f"skip = {first.blank_lines}, encoding = {sql_literal(first.encoding)}"
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
    declared = {column.lower(): kind for column, kind in types.items()}
    return _converted(table, {one: declared.get(one.lower(), "VARCHAR") for one in columns})


def _converted(table: SourceTable, kinds: Mapping[str, str]) -> str:
    """Return the expression that reads a CSV table as text and converts every column."""
    converted = ", ".join(
        f"{non_blank(column) if kind == 'VARCHAR' else conversion(column, kind)} "
        f"AS {sql_identifier(column)}"
        for column, kind in kinds.items()
    )
    return f"(SELECT {converted} FROM {text_expression(table)})"


def _parquet_reader(table: SourceTable) -> str:
    """Return the expression that reads Parquet with NULL for blank text and NaN."""
    expression = _parquet_files(table)
    with describe_read_errors(table), connect() as connection:
        relation = connection.sql(f"FROM {expression} LIMIT 0")
        kinds = [
            (name, str(kind)) for name, kind in zip(relation.columns, relation.types, strict=True)
        ]
    replaced = [
        f"{non_blank(name) if kind == 'VARCHAR' else without_nan(sql_identifier(name))} "
        f"AS {sql_identifier(name)}"
        for name, kind in kinds
        if kind in ("VARCHAR", "DOUBLE", "FLOAT")
    ]
    return (
        f"(SELECT * REPLACE ({', '.join(replaced)}) FROM {expression})" if replaced else expression
    )


def inferred_types(
    table: SourceTable, as_text: Collection[str] = frozenset(), *, head: bool = False
) -> dict[str, str]:
    """Infer the types of a CSV table's columns from all its files.

    Args:
        table: the table.
        as_text: columns that are text whatever they look like.
        head: infer types from the first rows alone.

    Raises:
        DataError: the files have other columns, or dates of which day and month cannot be
            distinguished.
    """
    size = "" if head else ", sample_size = -1"
    columns: dict[str, str] = {}
    formats: set[str] = set()
    for path in table.paths:
        with describe_read_errors(table), connect() as connection:
            file, dialect = sql_literal(literal_path(path)), _dialect_options(table)
            query = (
                "SELECT Columns, DateFormat, TimestampFormat FROM "
                f"sniff_csv({file}, header = true, {dialect}{size})"
            )
            ((found, *named),) = connection.execute(query).fetchall()
        kinds = {column["name"]: column["type"] for column in found}
        if columns and {*kinds} != {*columns}:
            raise DataError(
                f"{path}: its {len(kinds)} columns differ from the {len(columns)} of "
                f"{table.paths[0]}; expected the same names. Correct the file.",
                code="CS-D029",
            )
        columns = {
            column: kinds[column] if kinds[column] == kind else _common(kind, kinds[column])
            for column, kind in (columns or kinds).items()
        }
        formats |= {one for one in named if one}
    columns |= dict.fromkeys({*as_text} & columns.keys(), "VARCHAR")
    flags = [column for column, kind in columns.items() if kind == "BOOLEAN"]
    columns |= dict.fromkeys(_other_words(table, flags, head=head), "VARCHAR")
    dates = [column for column, kind in columns.items() if kind in _DATE_TYPES]
    if formats and not table.has_types:  # their form is a guess, and nothing computes with them
        return columns | dict.fromkeys(dates, "VARCHAR")
    if not dates or (head and not any(map(swapped, formats))):
        return columns
    return columns | _date_types(table, columns, dates)


def _other_words(table: SourceTable, flags: Sequence[str], *, head: bool) -> list[str]:
    """Return the columns that DuckDB takes for truth values by other words, such as yes and no.

    A cohort names these words as values of an outcome, so they must stay as they are written.
    """
    if not flags:
        return []
    counts = ", ".join(
        f"count(*) FILTER (lower(trim({non_blank(column)})) NOT IN ('true', 'false'))"
        for column in flags
    )
    some = " LIMIT 20480" if head else ""
    with describe_read_errors(table), connect() as connection:
        (found,) = connection.execute(
            f"SELECT {counts} FROM (FROM {text_expression(table)}{some})"
        ).fetchall()
    return [column for column, count in zip(flags, found, strict=True) if count]


def _common(one: str, other: str) -> str:
    return "DOUBLE" if {one, other} == {"BIGINT", "DOUBLE"} else "VARCHAR"


def _date_types(
    table: SourceTable, columns: Mapping[str, str], dates: Sequence[str]
) -> dict[str, str]:
    """Return the types of date columns, with a format where they are not in ISO form.

    Raises:
        DataError: the values of a column fit one format and the same with day and month exchanged.
    """
    text = text_expression(table)
    types: dict[str, str] = {}
    ambiguous: dict[str, list[str]] = {}
    with describe_read_errors(table), connect() as connection:
        counts = ", ".join(failed_conversions(column, columns[column]) for column in dates)
        (failed,) = connection.execute(f"SELECT {counts} FROM {text}").fetchall()
        for column, count in zip(dates, failed, strict=True):
            if not count:
                continue
            fitting = distinct_formats(date_formats(connection, text, column))
            what = columns[column].lower()
            types[column] = f"{what}:{fitting[0]}" if fitting else "VARCHAR"
            if len(fitting) > 1:
                ambiguous[column] = fitting
    if not ambiguous:
        return types
    advice = " ".join(
        format_advice(fitting, column, f"[types.{table.name}]", what=columns[column].lower())
        for column, fitting in ambiguous.items()
    )
    raise DataError(
        f"{table.file}: columns {', '.join(ambiguous)} hold dates. {advice} With [types] the other "
        "columns are text, so declare their types as well. For the first of the formats that is:\n"
        f"{inferred_types_block(table.name, columns, types)}",
        code="CS-D030",
    )


def empty_tables(cohort: Cohort, source: Path) -> list[str]:
    """Return a problem for each file of the cohort without rows, such as a header alone."""
    return [
        f"{table.file}: has no rows; expected {key} of cohort '{cohort.name}'. Get the file again."
        for key, table in all_tables(cohort, source).items()
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
    files = {**split_tables(cohort, source), **({} if problems else query_tables(cohort, source))}
    for table in files.values():
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
                    Problem(
                        f"{table.file}: column '{column}' holds {count} values that are no {kind}, "
                        f"which [types.{table.name}] declares. {advice}",
                        "CS-D031",
                    )
                )
    return problems
