"""A cohort's query: what is wrong with it is told before it runs, as far as that can be known."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb

from clinical_symile.config.cohort import Cohort
from clinical_symile.data.ingest.columns import used_columns
from clinical_symile.data.ingest.csv_headers import (
    has_header,
    header_for_message,
    known_column_names,
    lines_of_query,
    without_candidates,
)
from clinical_symile.data.ingest.splits import OF_TABLE
from clinical_symile.data.ingest.tables import (
    connect,
    empty_tables,
    open_tables,
    reader_expression,
    source_files,
    type_problems,
)
from clinical_symile.errors import DataError
from clinical_symile.registry import unknown_name_message

# Their messages quote the query, as a binder's do; those of others may quote values of patients.
QUERY_ERRORS = (
    duckdb.CatalogException,
    duckdb.ParserException,
    duckdb.SyntaxException,
)


def syntax_problems(cohort: Cohort) -> list[str]:
    """What is wrong with a cohort's query, whatever the tables hold; nothing where it has none.

    It is parsed, and the tables that it reads are looked for in `[tables]`.
    """
    if cohort.samples.sql is None:
        return []
    file = cohort.folder / cohort.samples.sql
    query = file.read_text(encoding="utf-8")
    with connect() as connection:
        try:
            _check_is_one(connection, query, str(file))
        except DataError as error:
            return [*error.problems]
        except duckdb.Error as error:
            return [f"{file}: {error}\nCorrect the query."]
        return [
            f"{file}: {unknown_name_message(name, cohort.tables, what='table')} Name its file in "
            "[tables], or correct the query."
            for name in _tables(connection, query)
            if name.lower() not in {table.lower() for table in cohort.tables}
        ]


def binding_problems(cohort: Cohort, adapters: Mapping[str, Any], source: Path) -> list[str]:
    """What is wrong with a cohort over the tables of a source, of which no more is read than must.

    Raises:
        DataError: tables are missing or cannot be read.
    """
    source_files(cohort, source)
    problems: list[str] = []
    for head in (True, False):  # the whole may tell a type that the first rows do not
        with connect() as connection:
            open_tables(connection, cohort, source, head=head)
            try:
                where = make_samples(connection, cohort, source, kind="VIEW")
                used_columns(connection, cohort, adapters, where)
            except DataError as error:
                problems = [*error.problems]
                continue
            return []
    return problems


def make_samples(
    connection: duckdb.DuckDBPyConnection,
    cohort: Cohort,
    source: Path,
    text: Iterable[str] = (),
    *,
    kind: str = "TABLE",
) -> str:
    """Make `_samples`, of what a cohort's query returns or its tables hold.

    Args:
        connection: where the tables are open.
        cohort: what to read.
        source: folder of the files.
        text: columns of tables that are text whatever they look like: 007 is not 7.
        kind: TABLE, or VIEW, which reads nothing.

    Returns:
        What to call it in messages.

    Raises:
        DataError: the query is not one, does not parse or bind, or fails on what the tables hold;
            every column that holds what is not of its declared type is told with how often.
    """
    if cohort.samples.sql:
        where = str(cohort.folder / cohort.samples.sql)
        query = Path(where).read_text(encoding="utf-8")
    else:
        where = ", ".join(str(source / file) for file in cohort.samples.tables.values())
        query = " UNION ALL BY NAME ".join(
            f"SELECT *, '{split}' AS {OF_TABLE} FROM {reader_expression(source / file, text)}"
            for split, file in cohort.samples.tables.items()
        )
    try:
        _check_is_one(connection, query, where)
        connection.execute(f"CREATE TEMP {kind} _samples AS {query}")
    except duckdb.BinderException as error:
        columns, headed = _columns(connection, cohort, source, query)
        said = without_candidates(error) if headed else f"Binder Error\n{lines_of_query(error)}"
        raise DataError(
            f"{where}: {said}\n{columns}Correct the query, or the tables under {source}.",
            *empty_tables(connection, cohort, source),
        ) from None
    except QUERY_ERRORS as error:
        raise DataError(
            f"{where}: {error}\nCorrect the query, or the tables under {source}."
        ) from None
    except duckdb.OutOfMemoryException:
        raise  # no value is amiss
    except duckdb.Error as error:
        cells = isinstance(error, duckdb.ConversionException)
        problems = type_problems(connection, cohort, source) if cells else []
        raise DataError(
            *problems
            or [
                f"{where}: DuckDB stopped with a {type(error).__name__} on the tables under "
                f"{source}. Run the query there to see which value is amiss."
            ]
        ) from None
    return where


def _check_is_one(connection: duckdb.DuckDBPyConnection, query: str, where: str) -> None:
    statements = connection.extract_statements(query)
    if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
        raise DataError(f"{where}: expected one query that returns rows. Correct the file.")


def _tables(connection: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    """The tables that a query reads and does not make itself, in its order."""
    tree = _tree(connection, query)
    made = {
        entry["key"].lower()
        for node in _nodes(tree)
        for entry in (node.get("cte_map") or {}).get("map", ())
    }
    names = [node["table_name"] for node in _nodes(tree) if node.get("type") == "BASE_TABLE"]
    return [
        name
        for name in dict.fromkeys(names)
        if name.lower() not in made and re.fullmatch(r"\w+", name)  # others are files
    ]


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for each in tree:
            yield from _nodes(each)


def _columns(
    connection: duckdb.DuckDBPyConnection, cohort: Cohort, source: Path, query: str
) -> tuple[str, bool]:
    """A line for each table of the query: its name there, its file and its columns.

    With it goes whether every table has a header.
    """
    select = "SELECT column_name FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index"
    names, lines, headed = (
        known_column_names(cohort, referenced_columns(connection, query)),
        [],
        True,
    )
    for name, file in cohort.tables.items():
        columns = [column for (column,) in connection.execute(select, [name]).fetchall()]
        lines.append(f"{name} is {source / file}, with {header_for_message(columns, names)}.\n")
        headed = headed and has_header(columns, names)
    return "".join(lines), headed


def referenced_columns(connection: duckdb.DuckDBPyConnection, query: str) -> set[str]:
    """The columns that a query refers to, whatever table or alias stands before them."""
    columns: set[str] = set()
    for node in _nodes(_tree(connection, query)):
        if node.get("class") == "COLUMN_REF":
            columns.add(node["column_names"][-1])
        columns.update(node.get("using_columns") or ())
    return columns


def _tree(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    ((text,),) = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchall()
    return json.loads(text)
