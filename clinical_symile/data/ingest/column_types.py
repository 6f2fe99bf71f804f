"""Convert text columns into their declared types, and find the formats of their dates.

A date is read in ISO form, or in the format that its type names: `timestamp:%d.%m.%Y %H:%M`. No
format is guessed, because 05/06/2031 is a day of May in one country and of June in another.
"""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import product

import duckdb

from clinical_symile.data.ingest.sql import sql_identifier, sql_literal

_DATES = [
    order.replace(" ", separator)
    for separator in ("/", ".", "-")
    for order in ("%d %m %Y", "%m %d %Y", "%d %m %y", "%m %d %y", "%Y %m %d")
] + ["%Y%m%d", "%d-%b-%Y", "%d%b%Y"]
_TIMES = ("", "%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p", "%H%M%S")
KNOWN_DATE_FORMATS = [
    date + (f"{separator}{time}" if time else "")
    for date, time, separator in product(_DATES, _TIMES, (" ", "T"))
    if time or separator == " "
]
_FIRST_YEAR = 1000  # a date before it has a year of two digits


def declared_format(kind: str) -> str | None:
    """Return the date format that a declared type names; None if it names none.

    >>> declared_format("timestamp:%d.%m.%Y %H:%M"), declared_format("TIMESTAMP")
    ('%d.%m.%Y %H:%M', None)
    """
    name, _, date_format = kind.partition(":")
    return date_format if name in ("timestamp", "date") and date_format else None


def conversion(column: str, kind: str, *, check: bool = False) -> str:
    """Return the SQL expression that converts a text column into a declared type.

    Blank cells and NaN become NULL. A number with a fraction is not a BIGINT. A date has its year
    first unless the type names a format, and no year is before 1000. DuckDB reads 5/12/31 as a day
    of the year 5, and 10:00 PM as 10:00.

    Args:
        column: name of the column.
        kind: its declared type.
        check: return NULL for a value that does not convert, instead of an error.
    """
    name = sql_identifier(column)
    text = f"nullif(trim({name}), '')"
    cast = "TRY_CAST" if check else "CAST"
    if date_format := declared_format(kind):
        parsed = parsed_date(text, date_format)
        # A value that is not of the format is cast from a text that is no date, so that this fails.
        time = f"if({text} IS NULL, NULL, coalesce({parsed}, {cast}('no' || {text} AS TIMESTAMP)))"
        return time if kind.startswith("timestamp") else f"CAST({time} AS DATE)"
    if kind == "double:,":
        number = f"if(contains({text}, '.'), 'no' || {text}, replace({text}, ',', '.'))"
        return without_nan(f"{cast}({number} AS DOUBLE)")
    if kind == "DOUBLE":
        return without_nan(f"{cast}({non_blank(column)} AS DOUBLE)")
    if kind == "BIGINT":
        fraction = f"contains({name}, '.') AND NOT regexp_full_match({text}, '[+-]?\\d+\\.0*')"
        return f"{cast}(if({fraction}, 'no' || {text}, {non_blank(column)}) AS BIGINT)"
    if kind in ("DATE", "TIMESTAMP"):
        # The common case first, since it does not copy the text.
        value = f"TRY_CAST({name} AS {kind})"
        is_date = f"{name}[-1] BETWEEN '0' AND '9' AND {value} >= DATE '{_FIRST_YEAR}-01-01'"
        trimmed = f"if(right({text}, 1) <= '9' OR right({text}, 1) IN ('Z', 'C'), {text}, 'no')"
        other = f"TRY_CAST({trimmed} AS {kind})"
        checked = f"if({other} >= DATE '{_FIRST_YEAR}-01-01', {other}, NULL)"
        rest = f"coalesce({checked}, {cast}('no' || {text} AS {kind}))"
        return f"CASE WHEN {is_date} THEN {value} WHEN {text} IS NOT NULL THEN {rest} END"
    return text if kind == "VARCHAR" else f"{cast}({text} AS {kind})"


def non_blank(column: str) -> str:
    """Return the SQL expression of a text column with NULL for blank cells."""
    name = sql_identifier(column)
    # A text from '!' on does not begin with a blank: it needs no copy to be trimmed.
    return f"if({name} >= '!' OR trim({name}) <> '', {name}, NULL)"


def without_nan(number: str) -> str:
    """Return the SQL expression of a number with NULL for NaN."""
    return f"nullif({number}, 'nan'::DOUBLE)"


def parsed_date(text: str, date_format: str) -> str:
    """Return the SQL expression of a text as a date in a format; NULL if it has another."""
    parsed = f"try_strptime({text}, {sql_literal(date_format)})"
    return f"if({parsed} >= DATE '{_FIRST_YEAR}-01-01', {parsed}, NULL)"


def failed_conversions(column: str, kind: str) -> str:
    """Return the SQL expression that counts values that are not of the declared type."""
    return (
        f"count(*) FILTER (nullif(trim({sql_identifier(column)}), '') IS NOT NULL "
        f"AND {conversion(column, kind, check=True)} IS NULL)"
    )


def date_formats(connection: duckdb.DuckDBPyConnection, text: str, column: str) -> list[str]:
    """Return every known date format that fits all values of a text column.

    Args:
        connection: a connection to DuckDB.
        text: SQL of the table with all columns as text.
        column: name of the column.
    """
    values, counts = date_format_counts(connection, text, column)
    return [one for one, count in counts.items() if count == values > 0]


def date_format_counts(
    connection: duckdb.DuckDBPyConnection, text: str, column: str
) -> tuple[int, dict[str, int]]:
    """Return the number of distinct values of a text column, and how many fit each date format.

    Arguments are those of `date_formats`.
    """
    name = f"nullif(trim({sql_identifier(column)}), '')"
    counts = ", ".join(f"count({parsed_date('v', one)})" for one in KNOWN_DATE_FORMATS)
    query = (
        f"SELECT count(*), {counts} FROM "
        f"(SELECT DISTINCT {name} AS v FROM {text} WHERE {name} IS NOT NULL)"
    )
    ((values, *fitting),) = connection.execute(query).fetchall()
    return values, dict(zip(KNOWN_DATE_FORMATS, fitting, strict=True))


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
    formats = distinct_formats(formats)
    lines = " or ".join(f'{toml_key(column)} = "{what}:{one}"' for one in formats)
    if len(formats) > 1:
        return (
            f"The dates of {column} are ambiguous: every value fits {len(formats)} formats, which "
            f"differ in day, month or year. Set {lines} in {where}."
        )
    return f"Every value fits the format {formats[0]}. Set {lines} in {where}."


def distinct_formats(formats: Sequence[str]) -> list[str]:
    """Leave out formats that read the same text as another does, such as %I beside %H.

    >>> distinct_formats(["%d.%m.%Y %H:%M", "%d.%m.%Y %I:%M"])
    ['%d.%m.%Y %H:%M']
    """
    kept: dict[str, str] = {}
    for one in formats:
        kept.setdefault(one.replace("%S.%f", "%S").replace("%I", "%H"), one)
    return [*kept.values()]


def inferred_types_block(table: str, types: Mapping[str, str], changed: Mapping[str, str]) -> str:
    """Return the lines of `[types.<table>]` that keep a table's inferred types.

    Args:
        table: name of the table.
        types: the inferred types.
        changed: types to declare instead.
    """
    declared = {column: kind for column, kind in types.items() if kind != "VARCHAR"} | {**changed}
    lines = [f'{toml_key(column)} = "{kind}"' for column, kind in declared.items()]
    return "\n".join([f"[types.{table}]", *lines])


def toml_key(column: str) -> str:
    """Return a column's name as a key in TOML, in quotes where it needs them.

    >>> toml_key("lab_value"), toml_key("Größe")
    ('lab_value', '"Größe"')
    """
    bare = re.fullmatch(r"[A-Za-z0-9_-]+", column)
    return column if bare else json.dumps(column, ensure_ascii=False)
