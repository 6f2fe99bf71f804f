"""Refuse a query that reads other files than its tables, or that returns other rows each time."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Any

import duckdb

from clinical_symile.data.ingest.query_lineage import parse_query, query_nodes
from clinical_symile.errors import Problem

# Functions that make rows from values; every other function in FROM may read a file.
_ROW_MAKERS = frozenset({"generate_series", "json_each", "json_tree", "range", "unnest"})
# What FROM may hold besides; `SHOW_REF` and others describe the database.
_FROM_TYPES = frozenset(
    {"BASE_TABLE", "EMPTY", "EXPRESSION_LIST", "JOIN", "PIVOT", "SUBQUERY", "TABLE_FUNCTION"}
)
# Names without parentheses that are the time of the run; a column of that name needs its table.
_TIMES = frozenset(
    {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}
)
# Functions that depend on the run, or draw at random, and that DuckDB does not list as such.
_UNLISTED = frozenset(
    {"current_schemas", "current_setting", "getenv", "getvariable", "in_search_path"}
    | {"reservoir_quantile", "version"}
)
# `error` always stops the query, and so does not change its rows.
_HARMLESS = frozenset({"error"})


def query_rule_problems(
    connection: duckdb.DuckDBPyConnection, query: str, *, tables: Collection[str], where: str
) -> list[str]:
    """Return a problem for each part of a query that reads something else or is not reproducible.

    A plain name that is no table is left to DuckDB, which suggests a similar one.

    Args:
        connection: a connection to DuckDB, which parses the query.
        query: the query; it parses.
        tables: names of the tables that it may read.
        where: the file of the query, for messages.
    """
    tree = parse_query(connection, query)
    if tree.get("error"):
        return [
            Problem(
                f"{where}: cannot be checked, because DuckDB does not show the parts of such a "
                "query; expected one SELECT. Write PIVOT and UNPIVOT with their values, as in "
                "FROM (PIVOT … ON … IN (…)).",
                "CS-D032",
            )
        ]
    known = {table.lower() for table in tables} | {
        entry["key"].lower()
        for node in query_nodes(tree)
        for entry in (node.get("cte_map") or {}).get("map", ())
    }
    found = [
        *dict.fromkeys(_other_sources(tree, known)),
        *dict.fromkeys(_unreproducible(connection, tree)),
    ]
    return [Problem(f"{where}: {problem}", "CS-D032") for problem in found]


def _other_sources(tree: Any, known: Collection[str]) -> Iterator[str]:
    """Yield a problem for each place of FROM that is neither a table nor made of values."""
    for source in _from_nodes(tree):
        kind = source["type"]
        if kind == "TABLE_FUNCTION":
            name = source["function"]["function_name"]
            if name.lower() not in _ROW_MAKERS:
                yield (
                    f"FROM has the function {name}(); expected the tables of [tables], or one of "
                    f"{', '.join(sorted(_ROW_MAKERS))}. A query reads no other file: name it in "
                    "[tables]."
                )
        elif kind == "BASE_TABLE":
            name, plain = source["table_name"], _is_plain(source)
            if not plain or (name.lower() not in known and not _is_word(name)):
                yield (
                    f"FROM has '{name}', which is not a name in [tables]. A query reads no other "
                    "file and no table of DuckDB: name the file in [tables]."
                )
        elif kind not in _FROM_TYPES:
            yield (
                "FROM has DESCRIBE, SHOW or SUMMARIZE; expected the tables of [tables]. Remove it."
            )


def _from_nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every reference to a table; expressions have a class, and statements no alias."""
    for node in query_nodes(tree):
        if "type" in node and "class" not in node and ("sample" in node and "alias" in node):
            yield node


def _is_plain(table: Any) -> bool:
    return table.get("schema_name", "") in ("", "main") and not table.get("catalog_name")


def _is_word(name: str) -> bool:
    return name.replace("_", "a").isalnum()


def _unreproducible(connection: duckdb.DuckDBPyConnection, tree: Any) -> Iterator[str]:
    """Yield a problem for each function or clause whose result differs from run to run."""
    functions = _Functions(connection)
    for node in query_nodes(tree):
        if node.get("sample"):
            yield (
                "draws rows at random (SAMPLE); expected the same rows in every run. Choose rows "
                "by a column, as in hash(subject_id) % 10 = 0."
            )
        if (name := functions.unstable_name(node)) is not None:
            yield (
                f"uses {name}, whose result differs from run to run; expected the same rows in "
                "every run. Write the value into the query, or compute it from columns. A column "
                "of this name needs its table before it."
            )


# The unstable functions and the macros, by the extensions that are loaded: a connection of the
# package has no others, and DuckDB takes longer to list them than to parse a query.
_Listed = tuple[frozenset[str], dict[str, list[str]]]
_LISTED: dict[tuple[str, ...], _Listed] = {}


def _listed_functions(connection: duckdb.DuckDBPyConnection) -> _Listed:
    loaded = connection.execute(
        "SELECT extension_name FROM duckdb_extensions() WHERE loaded ORDER BY extension_name"
    ).fetchall()
    key = tuple(str(name) for (name,) in loaded)
    if key not in _LISTED:
        rows = connection.execute(
            "SELECT lower(function_name) FROM duckdb_functions() WHERE stability = 'VOLATILE' OR "
            "(stability = 'CONSISTENT_WITHIN_QUERY' AND len(parameters) = 0)"
        ).fetchall()
        macros: dict[str, list[str]] = defaultdict(list)
        for name, definition in connection.execute(
            "SELECT lower(function_name), macro_definition FROM duckdb_functions() "
            "WHERE function_type = 'macro'"
        ).fetchall():
            macros[name].append(definition)
        unstable = frozenset({name for (name,) in rows} | _UNLISTED | _TIMES) - _HARMLESS
        _LISTED[key] = unstable, macros
    return _LISTED[key]


class _Functions:
    """The functions of DuckDB that do not return the same for the same arguments.

    Args:
        connection: a connection to DuckDB, which lists its functions.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection):
        self._connection = connection
        self._unstable, self._macros = _listed_functions(connection)

    def unstable_name(self, node: Any, seen: frozenset[str] = frozenset()) -> str | None:
        """Return the name of the function that a node calls if it is unstable, else None."""
        names = node.get("column_names") or ()
        if node.get("class") == "COLUMN_REF" and len(names) == 1 and names[0].lower() in _TIMES:
            return str(names[0]).lower()
        name = str(node.get("function_name") or "").lower()
        if not name:
            return None
        # With one argument, age() is the time since then.
        arguments = node.get("arguments") or node.get("children") or ()
        if name in self._unstable or (name == "age" and len(arguments) == 1):
            return f"{name}()"
        for definition in () if name in seen else self._macros.get(name, ()):
            tree = parse_query(self._connection, f"SELECT {definition}")
            if any(self.unstable_name(inner, seen | {name}) for inner in query_nodes(tree)):
                return f"{name}()"
        return None
