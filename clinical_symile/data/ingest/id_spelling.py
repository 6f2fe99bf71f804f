"""Find ids that one table writes otherwise than another, so that only some rows are joined.

Rows without a partner are normal: a laboratory sees people whom the cohort does not contain. Such
an id stays without a partner however it is written. An id that finds one as soon as leading zeros,
a fraction of zeros, blanks and case are ignored is another matter. It is reported.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import duckdb

from clinical_symile.data.ingest.query_lineage import parse_query, query_nodes
from clinical_symile.data.ingest.sql import sql_identifier
from clinical_symile.formatting import format_count, format_part

_INVISIBLE = "\\s\\x{a0}\\x{feff}'\"`"  # blanks, a byte-order mark, and quotes of spreadsheets
_TEXT_TYPES = ("VARCHAR", "STRING", "TEXT")


@dataclass(frozen=True, order=True)
class _IdColumn:
    """A column of a table by which the query joins.

    Attributes:
        table: name of the table.
        column: its column.
        as_text: True if the query converts it into text first.
    """

    table: str
    column: str
    as_text: bool = False


def spelling_sentences(
    connection: duckdb.DuckDBPyConnection, query: str, tables: Mapping[str, Any]
) -> Iterator[str]:
    """Yield a sentence for each pair of joined columns that write the same ids in two ways.

    Args:
        connection: a connection with the tables as views.
        query: the cohort's query.
        tables: the tables that it reads, by name.
    """
    select = "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ?"
    types = {name: dict(connection.execute(select, [name]).fetchall()) for name in tables}
    for one, other in joined_columns(connection, query, types):
        # A number is compared by its value, which has no spelling.
        if not all(id.as_text or types[id.table][id.column] == "VARCHAR" for id in (one, other)):
            continue
        found = max(
            (_other_spellings(connection, one, other), one, other),
            (_other_spellings(connection, other, one), other, one),
        )
        (rows, ids, total), left, right = found
        if ids:
            yield (
                f"table {left.table}: {format_part(rows, total)} of {total} rows have "
                f"{format_count(ids)} ids in {left.column} that {right.table} writes otherwise in "
                f"{right.column} (leading zeros, .0, blanks or case). They are not joined. "
                "Write ids alike in both tables, or convert them in the query."
            )


def joined_columns(
    connection: duckdb.DuckDBPyConnection, query: str, columns: Mapping[str, Collection[str]]
) -> list[tuple[_IdColumn, _IdColumn]]:
    """Return the pairs of columns of different tables that a query compares for equality.

    Names are followed through the selects of the query. A column inside a function is not
    followed: the query may put it into another form there.

    Args:
        connection: a connection to DuckDB, which parses the query.
        query: the query.
        columns: the columns of each table that the query may read.
    """
    nodes = [*query_nodes(parse_query(connection, query))]
    origins = _origins(nodes)
    pairs: dict[tuple[_IdColumn, _IdColumn], None] = {}
    for left, right in _compared(nodes):
        sides = [
            [
                _IdColumn(table, column, as_text=as_text or cast)
                for origin, cast in _behind(name, origins)
                for table, known in columns.items()
                for column in known
                if column.lower() == origin
            ]
            for name, as_text in (left, right)
        ]
        for one, other in product(*sides):
            if one.table != other.table:
                pairs[min(one, other), max(one, other)] = None
    return [*pairs]


def _compared(nodes: list[dict[str, Any]]) -> Iterator[tuple[tuple[str, bool], tuple[str, bool]]]:
    """Yield the names of columns that are compared, each with True if it is cast to text."""
    for node in nodes:
        for name in node.get("using_columns") or ():
            yield (name.lower(), False), (name.lower(), False)
        if node.get("type") == "COMPARE_EQUAL":
            sides = _plain(node.get("left")), _plain(node.get("right"))
        elif node.get("type") == "SUBQUERY" and node.get("comparison_type") == "COMPARE_EQUAL":
            listed = (node["subquery"].get("node") or {}).get("select_list") or [None]
            sides = _plain(node.get("child")), _plain(listed[0])
        else:
            continue
        if sides[0] and sides[1]:
            yield sides[0], sides[1]


def _plain(expression: Any) -> tuple[str, bool] | None:
    """Return the column that an expression is, and True if it is cast to text; else None."""
    if not isinstance(expression, dict):
        return None
    if expression.get("class") == "COLUMN_REF":
        return expression["column_names"][-1].lower(), False
    if expression.get("class") == "CAST" and (inner := _plain(expression.get("child"))):
        return inner[0], _cast_type(expression) in _TEXT_TYPES
    return None


def _cast_type(expression: Mapping[str, Any]) -> str:
    """Return the type that a value is cast to; DuckDB 1 and 2 write it differently."""
    kind = expression.get("cast_type") or {}
    return str(kind.get("id") or (expression.get("type_expr") or {}).get("type_name", "")).upper()


def _origins(nodes: list[dict[str, Any]]) -> dict[str, set[tuple[str, bool]]]:
    """Return which columns each name of the query's selects stands for, one step back."""
    origins: dict[str, set[tuple[str, bool]]] = {}
    for node in nodes:
        for expression in node.get("select_list") or ():
            alias, plain = str(expression.get("alias") or "").lower(), _plain(expression)
            if alias and plain:
                origins.setdefault(alias, set()).add(plain)
    return origins


def _behind(
    name: str, origins: Mapping[str, Collection[tuple[str, bool]]]
) -> dict[tuple[str, bool], None]:
    """Return a name and all names that it stands for, each with True if it is cast to text."""
    found = {(name, False): None}
    waiting = [(name, False)]
    while waiting:
        current, as_text = waiting.pop()
        for origin, cast in sorted(origins.get(current, ())):
            step = (origin, as_text or cast)
            if step not in found:
                found[step] = None
                waiting.append(step)
    return found


def _other_spellings(
    connection: duckdb.DuckDBPyConnection, one: _IdColumn, other: _IdColumn
) -> tuple[int, int, int]:
    """Count rows and ids of a column that lack a partner only by how they are written.

    An id does not count if the other column has several spellings of it: they may be several ids.

    Returns:
        The number of these rows, of their ids, and of all rows with an id.
    """

    def ids(id: _IdColumn) -> str:
        name = sql_identifier(id.column)
        return (
            f"SELECT CAST({name} AS VARCHAR) AS id, count(*) AS rows, "
            f"{_normal(f'CAST({name} AS VARCHAR)')} AS normal "
            f"FROM {sql_identifier(id.table)} WHERE {name} IS NOT NULL GROUP BY ALL"
        )

    ((rows, found, total),) = connection.execute(
        f"WITH _one AS MATERIALIZED ({ids(one)}), _other AS MATERIALIZED ({ids(other)}), "
        "_certain AS (SELECT normal FROM _other GROUP BY normal HAVING count(*) = 1), "
        "_lost AS (SELECT * FROM _one ANTI JOIN _other USING (id) "
        "WHERE normal IN (SELECT normal FROM _certain)) "
        "SELECT coalesce((SELECT sum(rows) FROM _lost), 0), (SELECT count(*) FROM _lost), "
        "coalesce((SELECT sum(rows) FROM _one), 0)"
    ).fetchall()
    return int(rows), int(found), int(total)


def _normal(text: str) -> str:
    """Return the SQL expression of an id without what programs change of it unasked."""
    visible = f"regexp_replace(lower({text}), '[{_INVISIBLE}]', '', 'g')".replace("'\"`", "''\"`")
    whole = f"regexp_replace({visible}, '^([^.]*[0-9])[.]0+$', '\\1')"
    return f"regexp_replace({whole}, '(^|[^0-9.])0+([0-9])', '\\1\\2', 'g')"
