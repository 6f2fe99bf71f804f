"""Check a cohort's query before it runs, and run it."""

import re
from collections.abc import Iterable, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import duckdb

from clinical_symile.config.cohort import Cohort
from clinical_symile.data.ingest.columns import TABLE_SPLIT_COLUMN, used_columns
from clinical_symile.data.ingest.csv_headers import (
    has_header,
    header_for_message,
    known_column_names,
    lines_of_query,
    without_candidates,
)
from clinical_symile.data.ingest.date_advice import undeclared_dates
from clinical_symile.data.ingest.query_lineage import parse_query, query_nodes
from clinical_symile.data.ingest.query_rules import query_rule_problems
from clinical_symile.data.ingest.source_tables import (
    all_tables,
    query_tables,
    source_files,
    split_tables,
)
from clinical_symile.data.ingest.tables import (
    connect,
    empty_tables,
    open_tables,
    reader_expression,
    restrict_files,
    value_problems,
)
from clinical_symile.errors import DataError
from clinical_symile.registry.base import unknown_name_message

_MOST_OPEN_BRACKETS = 500  # DuckDB takes 3 GB to parse ten times as many

# Their messages quote the query; those of other errors may quote values of patients.
_QUERY_ERRORS = (
    duckdb.CatalogException,
    duckdb.ParserException,
    duckdb.SyntaxException,
)


def syntax_problems(cohort: Cohort) -> list[str]:
    """Return the problems of a cohort's query that show without the tables.

    The query is parsed, and every table that it reads must be in `[tables]`.
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
        return query_rule_problems(connection, query, tables=cohort.tables, where=str(file)) + [
            f"{file}: {unknown_name_message(name, cohort.tables, what='table')} Name its file in "
            "[tables], or correct the query."
            for name in _tables(connection, query)
            if name.lower() not in {table.lower() for table in cohort.tables}
        ]


def binding_problems(cohort: Cohort, adapters: Mapping[str, Any], source: Path) -> list[str]:
    """Return the problems of a cohort with the tables of a source, reading as little as possible.

    Raises:
        DataError: tables are missing or cannot be read.
    """
    source_files(cohort, source)
    problems: list[str] = []
    for head in (True, False):  # the whole file may show a type that the first rows do not
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
    """Create `_samples` from a cohort's query or its tables.

    Args:
        connection: a connection with the tables as views.
        cohort: the cohort to read.
        source: folder of the raw files.
        text: columns that are read as text whatever they look like: 007 is not 7.
        kind: TABLE, or VIEW, which reads nothing.

    Returns:
        The name of `_samples` in messages.

    Raises:
        DataError: the file is not one query, or the query does not parse, bind or run on these
            tables. Every column with values of another than its declared type is named, with
            their number.
    """
    if cohort.samples.sql:
        where = str(cohort.folder / cohort.samples.sql)
        query = Path(where).read_text(encoding="utf-8")
    else:
        where = ", ".join(str(source / file) for file in cohort.samples.tables.values())
        query = " UNION ALL BY NAME ".join(
            f"SELECT *, '{split}' AS {TABLE_SPLIT_COLUMN} FROM {reader_expression(table, text)}"
            for split, table in split_tables(cohort, source).items()
        )
    try:
        _check_is_one(connection, query, where)
        if cohort.samples.sql and (
            problems := query_rule_problems(connection, query, tables=cohort.tables, where=where)
        ):
            raise DataError(*problems, code="CS-D032")
        restrict_files(connection, all_tables(cohort, source).values())
        connection.execute(f"CREATE TEMP {kind} _samples AS {query}")
    except duckdb.BinderException as error:
        columns, has_headers = _describe_tables(connection, cohort, source, query)
        quoted = (
            without_candidates(error) if has_headers else f"Binder Error\n{lines_of_query(error)}"
        )
        named = referenced_columns(connection, query)
        raise DataError(
            f"{where}: {quoted}\n{columns}Correct the query, or the tables under {source}.",
            *undeclared_dates(query_tables(cohort, source), named),
            *empty_tables(cohort, source),
            code="CS-D005",
        ) from None
    except _QUERY_ERRORS as error:
        raise DataError(
            f"{where}: {error}\nCorrect the query, or the tables under {source}.", code="CS-D005"
        ) from None
    except duckdb.OutOfMemoryException:
        raise  # no value is wrong
    except duckdb.Error as error:
        raise DataError(
            *value_problems(cohort, source)
            or [
                f"{where}: DuckDB stopped with a {type(error).__name__} on the tables under "
                f"{source}. Often a join compares ids that are numbers in one table and text in "
                "another, or a cast meets a text of another form. Declare the columns under "
                "[types], or use TRY_CAST."
            ],
            code="CS-D005",
        ) from None
    return where


def _check_is_one(connection: duckdb.DuckDBPyConnection, query: str, where: str) -> None:
    depths = accumulate((letter == "(") - (letter == ")") for letter in query)
    if max(depths, default=0) > _MOST_OPEN_BRACKETS:
        raise DataError(
            f"{where}: has more than {_MOST_OPEN_BRACKETS} brackets open at once; expected fewer, "
            "because parsing them takes all memory. Correct the file.",
            code="CS-D005",
        )
    statements = connection.extract_statements(query)
    if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
        raise DataError(
            f"{where}: expected one query that returns rows. Correct the file.", code="CS-D005"
        )


def _tables(connection: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    """Return the tables that a query reads and does not define itself, in its order."""
    tree = parse_query(connection, query)
    made = {
        entry["key"].lower()
        for node in query_nodes(tree)
        for entry in (node.get("cte_map") or {}).get("map", ())
    }
    names = [node["table_name"] for node in query_nodes(tree) if node.get("type") == "BASE_TABLE"]
    return [
        name
        for name in dict.fromkeys(names)
        if name.lower() not in made and re.fullmatch(r"\w+", name)  # others are files
    ]


def _describe_tables(
    connection: duckdb.DuckDBPyConnection, cohort: Cohort, source: Path, query: str
) -> tuple[str, bool]:
    """Describe each table of the query in a line: its name, file and columns.

    Returns:
        The lines, and True if every table has a header.
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
    """Return the columns that a query refers to, without their table or alias."""
    columns: set[str] = set()
    for node in query_nodes(parse_query(connection, query)):
        if node.get("class") == "COLUMN_REF":
            columns.add(node["column_names"][-1])
        columns.update(node.get("using_columns") or ())
    return columns
