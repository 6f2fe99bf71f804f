"""Open the tables under a source folder in DuckDB."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from clinical_symile.config.cohort import Cohort
from clinical_symile.errors import DataError


def source_files(cohort: Cohort, source: Path) -> dict[str, Path]:
    """Return the tables of a cohort under the source folder: the key that names it, and the file.

    A name with a `*` matches several files, which are read in order.

    Raises:
        DataError: tables are missing; all of them at once.
    """
    if not source.is_dir():
        raise DataError(f"{source}: no such folder; expected the files of '{cohort.name}'.")
    files = {f"tables.{name}": file for name, file in cohort.tables.items()}
    files |= {f"samples.tables.{split}": file for split, file in cohort.samples.tables.items()}
    files |= {f"candidates.{split}": lists.table for split, lists in cohort.candidates.items()}
    found = {what: _files(source, file) for what, file in files.items()}
    missing = [
        f"{source / files[what]}: no such file; expected {what} of cohort '{cohort.name}'. Put it "
        "there, or correct --source."
        for what, paths in found.items()
        if not paths
    ]
    if missing:
        raise DataError(*missing)
    return {
        what if len(paths) == 1 else f"{what}[{number}]": path
        for what, paths in found.items()
        for number, path in enumerate(paths)
    }


def connect(config: Mapping[str, Any] | None = None) -> duckdb.DuckDBPyConnection:
    """Open DuckDB in memory; it downloads no extensions."""
    return duckdb.connect(config={"autoinstall_known_extensions": False, **(config or {})})


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
        DataError: DuckDB cannot read a file.
    """
    for name, file in cohort.tables.items():
        expression = reader_expression(source / file, types=cohort.types.get(name), head=head)
        with describe_read_errors(source / file):
            connection.execute(
                f"CREATE OR REPLACE VIEW {sql_identifier(name)} AS FROM {expression}"
            )


@contextmanager
def describe_read_errors(file: Path) -> Iterator[None]:
    """Replace an error of DuckDB on a file by one without the values that it quotes.

    Raises:
        DataError: DuckDB cannot read the file.
    """
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise DataError(
            f"{file}: DuckDB cannot read it ({type(error).__name__}); expected CSV, CSV.gz or "
            "Parquet. Get the file again."
        ) from None


def reader_expression(
    file: Path,
    text: Iterable[str] = (),
    *,
    types: Mapping[str, str] | None = None,
    head: bool = False,
) -> str:
    """Return the DuckDB expression that reads a file.

    Args:
        file: CSV, CSV.gz or Parquet.
        text: columns that are read as text whatever they look like.
        types: types of some columns, the others being text; None infers types from the file.
        head: infer types from the first rows alone.
    """
    path = sql_literal(str(file))
    if file.suffix == ".parquet":
        return f"read_parquet({path})"
    if types is not None:
        return f"read_csv({path}, header = true, all_varchar = true, types = {dict(types)})"
    expression = f"read_csv({path}, header = true" + ("" if head else ", sample_size = -1")
    if text:
        with describe_read_errors(file), connect() as connection:
            found = connection.sql(f"FROM {expression})").columns
        as_text = {name: "VARCHAR" for name in found if name in text}
        expression += f", types = {as_text}" if as_text else ""
    return f"{expression})"


def empty_tables(connection: duckdb.DuckDBPyConnection, cohort: Cohort, source: Path) -> list[str]:
    """Return a problem for each file of the cohort without rows, such as a header alone."""
    empty = []
    for what, path in source_files(cohort, source).items():
        with describe_read_errors(path):
            if not connection.execute(
                f"FROM {reader_expression(path, types={})} LIMIT 1"
            ).fetchall():
                empty.append(
                    f"{path}: has no rows; expected {what} of cohort '{cohort.name}'. Get the file "
                    "again."
                )
    return empty


def type_problems(connection: duckdb.DuckDBPyConnection, cohort: Cohort, source: Path) -> list[str]:
    """Return a problem for each column with values of another than its declared type.

    Raises:
        DataError: a file cannot be read.
    """
    problems = []
    for name, types in cohort.types.items():
        file = source / cohort.tables[name]
        if not types or file.suffix == ".parquet":
            continue
        # `trim`, since DuckDB may have the file's reader do a bare TRY_CAST, which then stops it.
        counts = ", ".join(
            f"count(*) FILTER ({sql_identifier(column)} IS NOT NULL "
            f"AND TRY_CAST(trim({sql_identifier(column)}) AS {kind}) IS NULL)"
            for column, kind in types.items()
        )
        with describe_read_errors(file):
            query = f"SELECT {counts} FROM {reader_expression(file, types={})}"
            ((*found,),) = connection.execute(query).fetchall()
        problems += [
            f"{file}: column '{column}' holds {count} values that are no {kind}, which "
            f"[types.{name}] says that it is. Correct the table; or remove the column there, so "
            f"that it is text, and convert it in the query: TRY_CAST(trim({column}) AS {kind})."
            for (column, kind), count in zip(types.items(), found, strict=True)
            if count
        ]
    return problems


def sql_literal(value: Any) -> str:
    """Quote a value as an SQL string."""
    escaped = str(value).replace("'", "''")
    return f"'{escaped}'"


def sql_identifier(name: str) -> str:
    """Quote a name as an SQL identifier."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _files(source: Path, file: str) -> list[Path]:
    """Return the file of that name, or all that a name with a `*` matches."""
    paths = sorted(source.glob(file)) if "*" in file else [source / file]
    return [path for path in paths if path.is_file()]
