"""Trace a column of a cohort's query back to the tables and codes that it comes from."""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import duckdb


class QueryLineage:
    """The parsed query of a cohort.

    Args:
        connection: a connection to DuckDB, which parses the query.
        query: the query.
        tables: the columns of each table that the query may read.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        query: str,
        tables: Mapping[str, Collection[str]],
    ):
        self._tables = {
            name.lower(): (name, {column.lower() for column in columns})
            for name, columns in tables.items()
        }
        tree = parse_query(connection, query)
        self._ctes = {
            entry["key"].lower(): entry["value"]
            for node in query_nodes(tree)
            for entry in (node.get("cte_map") or {}).get("map", ())
        }
        self._selects = [node for node in query_nodes(tree) if node.get("type") == "SELECT_NODE"]

    def tables_of(self, column: str) -> list[str]:
        """Return the tables of the source that provide a column, as far as the query shows."""
        found: dict[str, None] = {}
        for select, expression in self._definitions(column):
            found |= dict.fromkeys(self._best_tables(select, _references(expression), {column}))
        if not found:
            found = dict.fromkeys(
                name for name, columns in self._tables.values() if column.lower() in columns
            )
        return [*found]

    def codes_of(self, column: str) -> list[tuple[str, str, tuple[str, ...]]]:
        """Return the codes that the query looks for to fill a column.

        Returns:
            Triples of table, column of codes and codes; empty if the query compares none.
        """
        triples = []
        for select, expression in self._definitions(column):
            for reference, codes in _comparisons(expression):
                for table in self._best_tables(select, {reference}, {column})[:1]:
                    triples.append((table, reference, codes))
        return triples

    def _definitions(self, column: str) -> Iterator[tuple[Any, Any]]:
        for select in self._selects:
            for expression in select.get("select_list") or ():
                if expression.get("alias", "").lower() == column.lower():
                    yield select, expression

    def _best_tables(self, select: Any, columns: set[str], seen: set[str]) -> list[str]:
        """Return the tables behind a select's FROM that have most of some columns."""
        overlap: dict[str, int] = {}
        for node in query_nodes(select.get("from_table")):
            if node.get("type") != "BASE_TABLE":
                continue
            name = node["table_name"].lower()
            if name in self._ctes and name not in seen:
                for inner in query_nodes(self._ctes[name]):
                    if inner.get("type") == "SELECT_NODE":
                        refined = self._renamed(inner, columns)
                        for table in self._best_tables(inner, refined, seen | {name}):
                            own = self._tables[table.lower()][1]
                            overlap[table] = max(overlap.get(table, 0), len(refined & own))
            elif name in self._tables:
                table, own = self._tables[name]
                overlap[table] = max(overlap.get(table, 0), len(columns & own))
        most = max(overlap.values(), default=0)
        return [table for table, count in overlap.items() if count == most > 0]

    def _renamed(self, select: Any, columns: set[str]) -> set[str]:
        """Return columns by the names that they have inside a select."""
        inside = set(columns)
        for expression in select.get("select_list") or ():
            if expression.get("alias", "").lower() in columns:
                inside |= _references(expression)
        return inside


def parse_query(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    """Return the syntax tree of a query, as DuckDB parses it."""
    ((text,),) = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchall()
    return json.loads(text)


def query_nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every node of a syntax tree."""
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for each in tree:
            yield from query_nodes(each)


def _references(expression: Any) -> set[str]:
    return {
        node["column_names"][-1].lower()
        for node in query_nodes(expression)
        if node.get("class") == "COLUMN_REF"
    }


def _comparisons(expression: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the column and the constants of every `=` and `IN` of an expression."""
    for node in query_nodes(expression):
        sides: list[dict[str, Any]]
        if node.get("type") == "COMPARE_EQUAL":
            sides = [node["left"], node["right"]]
        elif node.get("type") == "COMPARE_IN":
            sides = list(node.get("children") or ())
        else:
            continue
        columns = [side["column_names"][-1] for side in sides if side.get("class") == "COLUMN_REF"]
        codes = [_constant(side) for side in sides if side.get("class") == "CONSTANT"]
        if len(columns) == 1 and codes:
            yield columns[0].lower(), tuple(codes)


def _constant(node: Any) -> str:
    """Return a constant's text; DuckDB 1 and 2 write it differently."""
    if "literal" in node:
        return str(node["literal"].get("text", ""))
    return str((node.get("value") or {}).get("value", ""))
