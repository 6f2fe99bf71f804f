"""Advise on dates that a query computes with and that were read as text."""

from collections.abc import Collection, Iterator, Mapping

import duckdb

from clinical_symile.data.ingest.column_types import (
    date_formats,
    distinct_formats,
    format_advice,
    inferred_types_block,
)
from clinical_symile.data.ingest.source_tables import SourceTable
from clinical_symile.data.ingest.tables import (
    connect,
    describe_read_errors,
    inferred_types,
    text_expression,
)

_ROWS_TRIED = 1000  # whose form decides whether a column is read to its end


def undeclared_dates(tables: Mapping[str, SourceTable], columns: Collection[str]) -> Iterator[str]:
    """Yield advice for each table with dates in columns that are text.

    Args:
        tables: the tables of a query.
        columns: the columns that it names.
    """
    named = {column.lower() for column in columns}
    for table in tables.values():
        if table.is_parquet:
            continue
        with describe_read_errors(table), connect() as connection:
            found = _date_columns(connection, table, named)
        if not found:
            continue
        where = f"[types.{table.name}]"
        advice = " ".join(
            format_advice(formats, column, where, what=_kind(formats[0]))
            for column, formats in found.items()
        )
        sentence = f"{table.file}: columns {', '.join(found)} hold dates and are text. {advice}"
        if table.types is None:
            kinds = {column: f"{_kind(one[0])}:{one[0]}" for column, one in found.items()}
            block = inferred_types_block(table.name, inferred_types(table), kinds)
            sentence += (
                f" With [types] the other columns are text, so declare all of them:\n{block}"
            )
        yield sentence


def _date_columns(
    connection: duckdb.DuckDBPyConnection, table: SourceTable, named: Collection[str]
) -> dict[str, list[str]]:
    """Return the formats of each named column of text that holds dates alone."""
    text = text_expression(table)
    kinds = inferred_types(table) if table.types is None else table.types
    is_text = {name.lower(): kind == "VARCHAR" for name, kind in kinds.items()}
    found = {}
    for column in connection.sql(f"FROM {text} LIMIT 0").columns:
        if column.lower() not in named or not is_text.get(column.lower(), True):
            continue
        head = f"(FROM {text} LIMIT {_ROWS_TRIED})"
        if date_formats(connection, head, column):
            formats = distinct_formats(date_formats(connection, text, column))
            found |= {column: formats} if formats else {}
    return found


def _kind(date_format: str) -> str:
    """Return the type of a date format: `timestamp` if it has hours."""
    return "timestamp" if "%H" in date_format or "%I" in date_format else "date"
