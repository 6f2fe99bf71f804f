"""Convert text columns into their declared types, and advise on values that do not convert.

A date is read in ISO form, or in the format that its type names: `timestamp:%d.%m.%Y %H:%M`. No
format is guessed, because 05/06/2031 is a day of May in one country and of June in another.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import product

import duckdb

from clinical_symile.data.ingest.sql import sql_identifier, sql_literal

_DATES = [
    order.replace(" ", separator)
    for separator in ("/", ".", "-")
    for order in ("%d %m %Y", "%m %d %Y", "%d %m %y", "%m %d %y", "%Y %m %d")
] + ["%Y%m%d", "%d-%b-%Y", "%d%b%Y"]
_TIMES = ("", "%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p", "%H%M%S")
_DATE_FORMATS = [
    date + (f"{separator}{time}" if time else "")
    for date, time, separator in product(_DATES, _TIMES, (" ", "T"))
    if time or separator == " "
]
_DECIMAL_COMMA = r"[+-]?\d*,\d+"


def declared_format(kind: str) -> str | None:
    """Return the date format that a declared type names; None if it names none.

    >>> declared_format("timestamp:%d.%m.%Y %H:%M"), declared_format("TIMESTAMP")
    ('%d.%m.%Y %H:%M', None)
    """
    name, _, date_format = kind.partition(":")
    return date_format if name in ("timestamp", "date") and date_format else None


def conversion(column: str, kind: str, *, check: bool = False) -> str:
    """Return the SQL expression that converts a text column into a declared type.

    Blank cells become NULL. A number with a fraction is not a BIGINT, and a date must have its year
    first unless the type names a format.

    Args:
        column: name of the column.
        kind: its declared type.
        check: return NULL for a value that does not convert, instead of an error.
    """
    text = f"nullif(trim({sql_identifier(column)}), '')"
    cast = "TRY_CAST" if check else "CAST"
    if date_format := declared_format(kind):
        parse = "try_strptime" if check else "strptime"
        parsed = f"{parse}({text}, {sql_literal(date_format)})"
        return parsed if kind.startswith("timestamp") else f"CAST({parsed} AS DATE)"
    if kind == "double:,":
        text = f"if(contains({text}, '.'), 'point in {{decimal comma}}', replace({text}, ',', '.'))"
        return f"{cast}({text} AS DOUBLE)"
    if kind == "BIGINT":
        fraction = f"contains({text}, '.') AND NOT regexp_full_match({text}, '[+-]?\\d+\\.0*')"
        return f"{cast}(if({fraction}, 'fraction', {text}) AS BIGINT)"
    if kind in ("DATE", "TIMESTAMP"):
        is_iso = f"substr({text}, 5, 1) IN ('-', '/')"
        return f"{cast}(if({text} IS NULL OR {is_iso}, {text}, 'year is not first') AS {kind})"
    return text if kind == "VARCHAR" else f"{cast}({text} AS {kind})"


def failed_conversions(column: str, kind: str) -> str:
    """Return the SQL expression that counts values that are not of the declared type."""
    return (
        f"count(*) FILTER (nullif(trim({sql_identifier(column)}), '') IS NOT NULL "
        f"AND {conversion(column, kind, check=True)} IS NULL)"
    )


def type_advice(
    connection: duckdb.DuckDBPyConnection, text: str, column: str, kind: str, table: str
) -> str:
    """Return what to do about a column whose values are not of its declared type.

    Args:
        connection: a connection to DuckDB.
        text: SQL of the table with all columns as text.
        column: name of the column.
        kind: its declared type.
        table: name of the table in `[types]`.
    """
    if kind in ("DATE", "TIMESTAMP") or declared_format(kind):
        formats = date_formats(connection, text, column)
        if formats:
            what = "date" if kind.lower().startswith("date") else "timestamp"
            return format_advice(formats, column, f"[types.{table}]", what=what)
    if kind in ("DOUBLE", "BIGINT"):
        matches = f"regexp_full_match(trim({sql_identifier(column)}), '{_DECIMAL_COMMA}')"
        query = f"SELECT count(*) FILTER ({matches}) FROM {text}"
        ((commas,),) = connection.execute(query).fetchall()
        if commas:
            return (
                f'{commas} of them have a decimal comma. Set {column} = "double:," in '
                f"[types.{table}]."
            )
    return (
        "Correct the table; or, if these values are missing ones, remove the column there, so that "
        f"it is text, and convert it in the query: TRY_CAST(trim({column}) AS {_base(kind)})."
    )


def _base(kind: str) -> str:
    return kind.partition(":")[0].upper()


def date_formats(connection: duckdb.DuckDBPyConnection, text: str, column: str) -> list[str]:
    """Return every known date format that fits all values of a text column.

    Args:
        connection: a connection to DuckDB.
        text: SQL of the table with all columns as text.
        column: name of the column.
    """
    name = f"nullif(trim({sql_identifier(column)}), '')"
    counts = ", ".join(
        f"count(*) FILTER (try_strptime(v, {sql_literal(one)}) IS NULL)" for one in _DATE_FORMATS
    )
    query = (
        f"SELECT count(*), {counts} FROM "
        f"(SELECT DISTINCT {name} AS v FROM {text} WHERE {name} IS NOT NULL)"
    )
    ((values, *failed),) = connection.execute(query).fetchall()
    if not values:
        return []
    return [one for one, count in zip(_DATE_FORMATS, failed, strict=True) if not count]


def swapped(date_format: str) -> str | None:
    """Return a date format with day and month exchanged; None if its year comes first.

    >>> swapped("%d/%m/%Y %H:%M"), swapped("%Y-%m-%d")
    ('%m/%d/%Y %H:%M', None)
    """
    if re.match(r"%[dm].?%[dm]", date_format) is None:
        return None
    exchanged = {"%d": "%m", "%m": "%d"}
    return re.sub("%[dm]", lambda match: exchanged[match[0]], date_format, count=2)


def format_advice(formats: list[str], column: str, where: str, *, what: str) -> str:
    """Return a sentence that names the formats which fit a column of dates.

    Args:
        formats: formats that fit every value.
        column: name of the column.
        where: the table of `cohort.toml` to write to.
        what: `date` or `timestamp`.
    """
    lines = " or ".join(f'{column} = "{what}:{one}"' for one in _distinct(formats))
    if len([*_distinct(formats)]) > 1:
        return (
            "Its dates are ambiguous: the values fit day/month and month/day. Set "
            f"{lines} in {where}."
        )
    return f"Every value fits the format {formats[0]}. Set {lines} in {where}."


def _distinct(formats: list[str]) -> Iterator[str]:
    """Leave out formats that read the same text the same way, such as %f beside %S."""
    kept: list[str] = []
    for one in formats:
        if not any(one.replace("%S.%f", "%S") == other for other in kept):
            kept.append(one)
            yield one


def inferred_types_block(table: str, types: Mapping[str, str], changed: Mapping[str, str]) -> str:
    """Return the lines of `[types.<table>]` that keep a table's inferred types.

    Args:
        table: name of the table.
        types: the inferred types.
        changed: types to declare instead.
    """
    declared = {column: kind for column, kind in types.items() if kind != "VARCHAR"} | {**changed}
    lines = [f'{_key(column)} = "{kind}"' for column, kind in declared.items()]
    return "\n".join([f"[types.{table}]", *lines])


def _key(column: str) -> str:
    return column if re.fullmatch(r"[A-Za-z0-9_-]+", column) else f'"{column}"'
