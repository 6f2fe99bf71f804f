"""Raw tables to one row per sample, checked."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from clinical_symile.cohort import SPLITS, Cohort, SplitBySubject
from clinical_symile.errors import DataError

SHOWN = 5  # ids in one message

# Their messages quote the query; those of all others may quote values of patients.
QUERY_ERRORS = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ParserException,
    duckdb.SyntaxException,
)


def source_files(cohort: Cohort, source: Path) -> dict[str, Path]:
    """The tables under the source folder that a cohort reads: what it is for, and the file.

    A table may be many files, in order: its name then holds a `*`.

    Raises:
        DataError: with every one that is missing.
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


def read_samples(
    cohort: Cohort, adapters: Mapping[str, Any], *, source: Path, scratch: Path
) -> tuple[pa.Table, dict[str, int]]:
    """One row per sample, ordered by sample, and how many rows are none, by reason.

    The columns are `sample`, `subject`, `split`, and `row`: a struct of all columns that the cohort
    names.

    Args:
        cohort: what to read.
        adapters: of its modalities.
        source: folder of the raw files.
        scratch: folder for what does not fit into memory.

    Raises:
        DataError: a column is missing or not of numbers, an id is missing or repeated, a subject is
            in two splits, a split is unknown, or there are no rows. All that are found together.
    """
    with duckdb.connect(config={"temp_directory": str(scratch)}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return _read_samples(connection, cohort, adapters, source=source)


def _read_samples(
    connection: duckdb.DuckDBPyConnection,
    cohort: Cohort,
    adapters: Mapping[str, Any],
    *,
    source: Path,
) -> tuple[pa.Table, dict[str, int]]:
    uses = _uses(cohort, adapters)
    numbers = {column for adapter in adapters.values() for column in adapter.numbers}
    text = {column for adapter in adapters.values() for column in adapter.columns} - numbers
    where = _load(connection, cohort, source, text)
    _check_columns(connection, where, uses)
    left_out = _leave_out(connection, cohort)
    _check_numbers(connection, where, numbers)
    columns = ", ".join(
        f"TRY_CAST({_quote(c)} AS DOUBLE) AS {_quote(c)}" if c in numbers else _quote(c)
        for c in uses
    )
    drawn = cohort.samples.split if isinstance(cohort.samples.split, SplitBySubject) else None
    split = "NULL" if drawn else _quote(_split_column(cohort))
    sample, subject = _quote(cohort.samples.sample), _quote(cohort.samples.subject)
    connection.execute(
        f"CREATE TEMP TABLE _rows AS SELECT {sample} AS sample, {subject} AS subject, "
        f"{split} AS split, _row AS row FROM (SELECT DISTINCT {columns} FROM _samples) AS _row"
    )
    _check_rows(connection, where, split_is_drawn=drawn is not None)
    table = connection.sql("FROM _rows ORDER BY sample").to_arrow_table()
    if drawn:
        splits = _drawn(table["subject"].to_numpy(), drawn)
        table = table.set_column(2, "split", pa.array(splits, type=pa.string()))
    ((rows,),) = connection.execute("SELECT count(*) FROM _samples").fetchall()
    repeated = rows - len(table)
    return table, left_out | ({"repeated-row": repeated} if repeated else {})


def read_candidates(cohort: Cohort, source: Path) -> pd.DataFrame:
    """The published candidate lists: query and candidate, by id, and split.

    Raises:
        DataError: with every column that is missing.
    """
    lists, problems = [pd.DataFrame({"query": [], "candidate": [], "split": []})], []
    for split, table in cohort.candidates.items():
        reader = _reader(source / table.table)
        with duckdb.connect() as connection:
            found = connection.sql(f"FROM {reader}").columns
        missing = {table.query, table.candidate} - {*found}
        problems.extend(
            f"{source / table.table}: no column '{column}', which candidates.{split} needs. "
            "Add it, or correct the cohort's file."
            for column in sorted(missing)
        )
        if not missing:
            columns = f"{_quote(table.query)} AS query, {_quote(table.candidate)} AS candidate"
            with duckdb.connect() as connection:
                rows = connection.execute(f"SELECT {columns} FROM {reader}").df()
            lists.append(rows.assign(split=split))
    if problems:
        raise DataError(*problems)
    return pd.concat(lists[1:] or lists, ignore_index=True)


def _uses(cohort: Cohort, adapters: Mapping[str, Any]) -> dict[str, str]:
    """Every column that is needed, and by what."""
    uses = {cohort.samples.sample: "samples.sample", cohort.samples.subject: "samples.subject"}
    if not isinstance(cohort.samples.split, SplitBySubject):
        uses.setdefault(_split_column(cohort), "samples.split")
    for name, adapter in adapters.items():
        for column in adapter.columns:
            uses.setdefault(column, f"modalities.{name}")
    for name, outcome in cohort.outcomes.items():
        uses.setdefault(outcome.column, f"outcomes.{name}")
    for column in cohort.samples.keep:
        uses.setdefault(column, "samples.keep")
    if cohort.samples.left_out:
        uses.setdefault(cohort.samples.left_out, "samples.left_out")
    return uses


def _leave_out(connection: duckdb.DuckDBPyConnection, cohort: Cohort) -> dict[str, int]:
    """Remove the rows that the query gives a reason against; how many, by reason."""
    if cohort.samples.left_out is None:
        return {}
    reason = _quote(cohort.samples.left_out)
    counts = connection.execute(
        f"SELECT CAST({reason} AS VARCHAR), count(*) FROM _samples WHERE {reason} IS NOT NULL "
        "GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    connection.execute(f"DELETE FROM _samples WHERE {reason} IS NOT NULL")
    return dict(counts)


def _files(source: Path, file: str) -> list[Path]:
    """The file of that name, or those that a name with a `*` stands for."""
    paths = sorted(source.glob(file)) if "*" in file else [source / file]
    return [path for path in paths if path.is_file()]


def _split_column(cohort: Cohort) -> str:
    return cohort.samples.split if isinstance(cohort.samples.split, str) else "_split"


def _load(
    connection: duckdb.DuckDBPyConnection, cohort: Cohort, source: Path, text: Iterable[str]
) -> str:
    """Make the table `_samples`, with columns that are text whatever they look like: 007 is not 7.

    The answer is what to call the table in messages.
    """
    for name, file in cohort.tables.items():
        try:
            connection.execute(f"CREATE VIEW {_quote(name)} AS FROM {_reader(source / file)}")
        except duckdb.Error as error:
            raise DataError(
                f"{source / file}: DuckDB cannot read it ({type(error).__name__}); expected CSV, "
                "CSV.gz or Parquet. Get the file again."
            ) from None
    if cohort.samples.sql:
        where = str(cohort.folder / cohort.samples.sql)
        query = Path(where).read_text(encoding="utf-8")
    else:
        where = ", ".join(str(source / file) for file in cohort.samples.tables.values())
        query = " UNION ALL BY NAME ".join(
            f"SELECT *, '{split}' AS _split FROM {_reader(source / file, text)}"
            for split, file in cohort.samples.tables.items()
        )
    try:
        statements = connection.extract_statements(query)
        if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
            raise DataError(f"{where}: expected one query that returns rows. Correct the file.")
        connection.execute(f"CREATE TEMP TABLE _samples AS {query}")
    except QUERY_ERRORS as error:
        raise DataError(
            f"{where}: {error}\nCorrect the query, or the tables under {source}."
        ) from None
    except duckdb.Error as error:
        raise DataError(
            f"{where}: DuckDB stopped with a {type(error).__name__} on the tables under {source}. "
            "Run the query there to see which value is amiss."
        ) from None
    return where


def _check_columns(
    connection: duckdb.DuckDBPyConnection, where: str, uses: Mapping[str, str]
) -> None:
    found = [name for name, *_ in connection.execute("DESCRIBE _samples").fetchall()]
    shown = ", ".join(found[:12]) + (" …" if len(found) > 12 else "")
    problems = [
        f"{where}: no column '{column}', which {use} needs; it has {shown}. Add it, or correct the "
        "cohort's file."
        for column, use in uses.items()
        if column not in found
    ]
    if problems:
        raise DataError(*problems)


def _check_numbers(
    connection: duckdb.DuckDBPyConnection, where: str, columns: Iterable[str]
) -> None:
    problems = []
    for column in sorted(columns):
        text = f"trim(CAST({_quote(column)} AS VARCHAR))"
        ((count,),) = connection.execute(
            f"SELECT count(*) FROM _samples "
            f"WHERE {text} != '' AND TRY_CAST({text} AS DOUBLE) IS NULL"
        ).fetchall()
        if count:
            problems.append(
                f"{where}: column '{column}' holds {count} values that are not numbers; expected "
                "numbers, or nothing where there was no measurement. Clean them in the query or "
                "the table."
            )
    if problems:
        raise DataError(*problems)


def _check_rows(connection: duckdb.DuckDBPyConnection, where: str, *, split_is_drawn: bool) -> None:
    def column(query: str) -> list[Any]:
        return [value for (value,) in connection.execute(query).fetchall()]

    if column("SELECT count(*) FROM _rows") == [0]:
        raise DataError(f"{where}: no rows; expected one per sample. Correct the query or table.")
    problems = []
    for name in ("sample", "subject"):
        (empty,) = column(f"SELECT count(*) FROM _rows WHERE {name} IS NULL")
        if empty:
            problems.append(
                f"{where}: {empty} rows have no {name}; expected one in each. Complete the table."
            )
    repeated = column("SELECT sample FROM _rows GROUP BY sample HAVING count(*) > 1 ORDER BY 1")
    if repeated:
        problems.append(
            f"{where}: {len(repeated)} samples have several rows that differ, such as "
            f"{_some(repeated)}; expected one row per sample. Choose one in the query or table."
        )
    if not split_is_drawn:
        unknown = {str(value) for value in column("SELECT DISTINCT split FROM _rows")} - {*SPLITS}
        if unknown:
            problems.append(
                f"{where}: the split holds {len(unknown)} other values than {', '.join(SPLITS)}; "
                "expected none. Is it the right column? Name its values so in the query or table."
            )
        several = column(
            "SELECT subject FROM _rows GROUP BY subject HAVING count(DISTINCT split) > 1 ORDER BY 1"
        )
        if several:
            problems.append(
                f"{where}: {len(several)} subjects are in several splits, such as "
                f"{_some(several)}; expected each in one. Move a subject's samples together."
            )
    if problems:
        raise DataError(*problems)


def _drawn(subject: np.ndarray, split: SplitBySubject) -> np.ndarray:
    """The split of each sample: a seeded draw of subjects, whichever samples they have."""
    subjects, place = np.unique(subject, return_inverse=True)
    order = np.random.default_rng(split.seed).permutation(len(subjects))
    tuning = round(split.tuning * len(subjects))
    held_out = round(split.held_out * len(subjects))
    name = np.full(len(subjects), "train", dtype=object)
    name[order[:tuning]] = "tuning"
    name[order[tuning : tuning + held_out]] = "held_out"
    return name[place]


def _reader(file: Path, text: Iterable[str] = ()) -> str:
    """The DuckDB expression that reads a file.

    Types are told from all of it, not from its head, but for columns that are `text` in any case.
    """
    path = str(file).replace("'", "''")
    if file.suffix == ".parquet":
        return f"read_parquet('{path}')"
    reader = f"read_csv('{path}', header = true, sample_size = -1"
    if text:
        with duckdb.connect() as connection:
            found = connection.sql(f"FROM {reader})").columns
        types = {name: "VARCHAR" for name in found if name in text}
        reader += f", types = {types}" if types else ""
    return f"{reader})"


def _quote(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _some(ids: Any) -> str:
    return ", ".join(str(value) for value in list(ids)[:SHOWN])
