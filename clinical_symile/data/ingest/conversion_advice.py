"""Advise on a column whose values are not of its declared type.

The advice must hold when it is followed to the letter. It never leaves a column empty, never takes
a day for a month, and never takes a comma between thousands for a decimal one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from clinical_symile.data.ingest.column_types import (
    date_format_counts,
    declared_format,
    distinct_formats,
    format_advice,
    parsed_date,
    swapped,
    toml_key,
)
from clinical_symile.data.ingest.sql import sql_identifier, sql_literal

_ISO = "ISO"  # the year first, which a cast reads
_MOST_FORMS = 4  # of dates in one column
_COMMA = r"[+-]?\d*,\d+"
_COMMA_OR_THOUSANDS = r"[+-]?[1-9]\d{0,2},\d{3}"
_POINT_OR_THOUSANDS = r"[+-]?[1-9]\d{0,2}\.\d{3}"
_COMMA_THOUSANDS = r"[+-]?\d{1,3}(,\d{3})+\.\d+|[+-]?\d{1,3}(,\d{3}){2,}"
_POINT_THOUSANDS = r"[+-]?\d{1,3}(\.\d{3})+,\d+|[+-]?\d{1,3}(\.\d{3}){2,}"


_IS_LIMIT = "regexp_matches(v, '^[<>≤≥]')"


@dataclass(frozen=True)
class _Column:
    """A text column.

    Attributes:
        connection: a connection to DuckDB.
        text: SQL of the table with all columns as text.
        name: its name.
        kind: its declared type.
        table: name of the table in `[types]`.
    """

    connection: duckdb.DuckDBPyConnection
    text: str
    name: str
    kind: str
    table: str

    @property
    def trimmed(self) -> str:
        return f"trim({sql_identifier(self.name)})"

    @property
    def comma_type(self) -> str:
        """The line of `cohort.toml` that declares a decimal comma."""
        return f'{toml_key(self.name)} = "double:," in [types.{self.table}]'

    def counts(self, *conditions: str) -> list[int]:
        """Return the number of values, and of those of each condition on `v`."""
        counts = "".join(f", count(*) FILTER ({one})" for one in conditions)
        query = (
            f"SELECT count(*){counts} FROM "
            f"(SELECT nullif({self.trimmed}, '') AS v FROM {self.text}) WHERE v IS NOT NULL"
        )
        ((*found,),) = self.connection.execute(query).fetchall()
        return found

    def in_query(self, expression: str, rest: int) -> str:
        """Return the advice to convert the column in the query; `rest` values become missing."""
        missing = f" {rest} values have none of these forms: they become missing." * bool(rest)
        return (
            f'Set {toml_key(self.name)} = "VARCHAR" in [types.{self.table}], '
            f"and write in the query: {expression}.{missing}"
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
    own = _Column(connection, text, column, kind, table)
    if kind in ("DATE", "TIMESTAMP") or declared_format(kind):
        values, counts = date_format_counts(connection, text, column)
        formats = [one for one, count in counts.items() if count == values > 0]
        if formats:
            what = "date" if kind.lower().startswith("date") else "timestamp"
            return format_advice(formats, column, f"[types.{table}]", what=what)
        return _advice_on_dates(own, [one for one, count in counts.items() if count])
    if kind in ("DOUBLE", "BIGINT", "double:,"):
        return _advice_on_numbers(own)
    return _advice_on_missing(own, f"TRY_CAST({own.trimmed} AS {kind})")


def _advice_on_missing(column: _Column, expression: str) -> str:
    return "Correct the table; or, if these values are missing ones: " + column.in_query(
        expression, 0
    )


def _advice_on_dates(column: _Column, formats: Sequence[str]) -> str:
    """Advise on dates of which no one format fits all values."""
    forms, ambiguous, rest = _forms_of_dates(column, formats)
    base = "DATE" if column.kind.lower().startswith("date") else "TIMESTAMP"
    if not forms:
        return (
            "None of them has a form of dates that is known here. Declare their form by the "
            f'directives of strptime, as in "{base.lower()}:%d %B %Y"; or, if they are numbers '
            "such as seconds, compute the time in the query."
        )
    formats = sorted((form for form in forms if form != _ISO), key=lambda form: "%Y" in form)
    if any(swapped(one) in formats for one in formats):
        return (
            "Some have the day first and others the month first, so that no format reads all of "
            "them. Correct the table."
        )
    listed = ", ".join(map(sql_literal, formats))
    parsed = f"try_strptime({column.trimmed}, {listed if len(formats) == 1 else f'[{listed}]'})"
    cast = f"TRY_CAST({column.trimmed} AS TIMESTAMP)"
    expression = f"coalesce({parsed}, {cast})" if _ISO in forms else parsed
    if not formats:
        return _advice_on_missing(column, cast if base == "TIMESTAMP" else f"CAST({cast} AS DATE)")
    if base == "DATE":
        expression = f"CAST({expression} AS DATE)"
    advice = f"No one format fits all values. {column.in_query(expression, rest)}"
    if not ambiguous:
        return advice
    pairs = " and ".join(f"{one} or {other}" for one, other in ambiguous.items())
    return (
        f"The dates of {column.name} are ambiguous, and other values are no dates. Find out which "
        f"format they have, {pairs}, and write that one where the first is written here. {advice}"
    )


def _forms_of_dates(
    column: _Column, formats: Sequence[str]
) -> tuple[list[str], dict[str, str], int]:
    """Return forms that together fit the dates of a column, the most frequent first.

    Args:
        column: the column.
        formats: every format that fits one of its values.

    Returns:
        The forms; of those that another form fits as well, the other; and how many values have
        none of the forms.
    """
    unfit = {one: f"{parsed_date('v', one)} IS NULL" for one in formats}
    unfit[_ISO] = (
        "NOT coalesce(TRY_CAST(v AS TIMESTAMP) >= DATE '1000-01-01', false) "
        r"OR NOT regexp_matches(v, '^\d{4}')"
    )
    forms: list[str] = []
    ambiguous: dict[str, str] = {}
    candidates = [*unfit]
    while True:
        remaining = " AND ".join(f"({unfit[form]})" for form in forms) or "true"
        conditions = (f"{remaining} AND NOT ({unfit[one]})" for one in candidates)
        _, rest, *counts = column.counts(remaining, *conditions)
        fitting = {one: n for one, n in zip(candidates, counts, strict=True) if n}
        if not fitting or len(forms) == _MOST_FORMS:
            return forms, ambiguous, rest
        most = max(fitting.values())
        chosen, *equal = distinct_formats([one for one in fitting if fitting[one] == most])
        if _ISO in equal:
            chosen, equal = _ISO, []
        forms.append(chosen)
        if chosen != _ISO and equal:
            ambiguous[chosen] = equal[0]
        candidates = [one for one in fitting if one != chosen]


def _advice_on_numbers(column: _Column) -> str:
    """Advise on numbers with a decimal comma, with marks between thousands, and on words."""
    number, trimmed = "TRY_CAST(v AS DOUBLE) IS NOT NULL", column.trimmed
    kind = "BIGINT" if column.kind == "BIGINT" else "DOUBLE"
    _, limits, comma_limits = column.counts(_IS_LIMIT, rf"{_IS_LIMIT} AND v LIKE '%,%'")
    if limits:
        return _advice_on_limits(column, limits, comma_limits)
    values, commas, doubtful, unclear, comma_groups, point_groups, points, plain = column.counts(
        *(
            f"regexp_full_match(v, {sql_literal(form)})"
            for form in (
                *(_COMMA, _COMMA_OR_THOUSANDS, _POINT_OR_THOUSANDS),
                *(_COMMA_THOUSANDS, _POINT_THOUSANDS),
            )
        ),
        f"{number} AND contains(v, '.')",
        f"{number} AND NOT contains(v, '.')",
    )
    if (comma_groups and point_groups) or (commas > doubtful and comma_groups):
        return "Points and commas are used in both meanings. Correct the table."
    if comma_groups:
        expression = f"TRY_CAST(replace({trimmed}, ',', '') AS {kind})"
        rest = values - plain - points - comma_groups - commas
        return f"{comma_groups} values have commas between thousands. " + column.in_query(
            expression, rest
        )
    if point_groups:
        expression = f"TRY_CAST(replace(replace({trimmed}, '.', ''), ',', '.') AS {kind})"
        if points:
            return (
                f"{point_groups} values have points between thousands, and in {points} values a "
                "point may be that or a decimal one. Correct the table."
            )
        return f"{point_groups} values have points between thousands. " + column.in_query(
            expression, values - plain - point_groups - commas
        )
    if commas and commas == doubtful and column.kind != "double:,":
        said = f"{commas} values have a comma that may be between thousands or a decimal one"
        if points:
            return f"{said}, beside {points} values with a decimal point. Correct the table."
        whole = f"TRY_CAST(replace({trimmed}, ',', '') AS {kind})"
        return (
            f"{said}. Find out which. If it is a decimal one, set {column.comma_type}. If it is "
            f"between thousands: {column.in_query(whole, values - plain - commas)}"
        )
    if commas and unclear:
        return (
            f"{commas} values have a decimal comma, and in {unclear} values a point may be between "
            "thousands or a decimal one. Correct the table."
        )
    if commas and column.kind != "double:," and commas + plain == values:
        return f"{commas} values have a decimal comma. Set {column.comma_type}."
    if commas:
        expression = f"TRY_CAST(replace({trimmed}, ',', '.') AS DOUBLE)"
        return f"{commas} values have a decimal comma. " + column.in_query(
            expression, values - plain - points - commas
        )
    return _advice_on_missing(column, f"TRY_CAST({trimmed} AS {kind})")


def _advice_on_limits(column: _Column, limits: int, comma_limits: int) -> str:
    """Advise to keep values such as <0.01 as text, since the lab panel reads their limits."""
    said = (
        f"{limits} values are limits, such as <5. The lab panel reads them from text as `censored` "
        "of the modality says: "
    )
    _, commas, doubtful, points = column.counts(
        f"regexp_full_match(v, {sql_literal(_COMMA)})",
        f"regexp_full_match(v, {sql_literal(_COMMA_OR_THOUSANDS)})",
        "contains(v, '.')",
    )
    if not commas and not comma_limits:
        return said + column.in_query(column.trimmed, 0)
    if points or (commas == doubtful and not comma_limits):
        return (
            f"{said}their commas and points may be decimal ones or between thousands. Correct the "
            f'table, and set {toml_key(column.name)} = "VARCHAR" in [types.{column.table}].'
        )
    return said + column.in_query(f"replace({column.trimmed}, ',', '.')", 0)
