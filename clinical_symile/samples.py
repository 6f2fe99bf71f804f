"""Raw tables to one row per sample, checked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from clinical_symile.cohort import SPLITS, Cohort, SplitBySubject, SplitByValue
from clinical_symile.errors import DataError
from clinical_symile.machine import cores

SHOWN = 5  # ids in one message
MEMORY = "2500MB"  # of DuckDB; what does not fit goes to the scratch folder

NUMERIC = ("BIGINT", "INTEGER", "SMALLINT", "TINYINT", "HUGEINT", "FLOAT", "DOUBLE")

# Their messages quote the query, as a binder's do; those of others may quote values of patients.
QUERY_ERRORS = (
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


@dataclass(frozen=True, eq=False)
class Selected:
    """What the tables hold, before a recording is opened.

    Attributes:
        samples: one row per sample, ordered by sample: `sample`, `subject`, `split`, and `row`, a
            struct of all columns that the cohort names.
        rows: how many the query returned.
        left_out: how many of them are not in `samples`, by reason.
        recorded: how many that differ, and have no reason against them, have a recording of which
            modalities.
    """

    samples: pa.Table
    rows: int
    left_out: Mapping[str, int]
    recorded: Mapping[str, int]


def read_samples(
    cohort: Cohort, adapters: Mapping[str, Any], *, source: Path, scratch: Path
) -> Selected:
    """Every sample of which as many modalities are recorded as the cohort asks for.

    Args:
        cohort: what to read.
        adapters: of its modalities.
        source: folder of the raw files.
        scratch: folder for what does not fit into memory.

    Raises:
        DataError: a column is missing or not of numbers, an id is missing or repeated, a subject is
            in two splits, a split is unknown, or there are no rows. All that are found together.
    """
    config: dict[str, Any] = {
        "temp_directory": str(scratch),
        "memory_limit": MEMORY,
        "threads": cores(),
        "preserve_insertion_order": True,  # a query may break ties by the order of a file
    }
    with _connect(config) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return _read_samples(connection, cohort, adapters, source=source)


def _read_samples(
    connection: duckdb.DuckDBPyConnection,
    cohort: Cohort,
    adapters: Mapping[str, Any],
    *,
    source: Path,
) -> Selected:
    numbers = {column for adapter in adapters.values() for column in adapter.numbers}
    text = {column for adapter in adapters.values() for column in adapter.columns} - numbers
    where = _load(connection, cohort, source, text)
    uses = _uses(connection, cohort, adapters, where)
    reasons = _leave_out(connection, cohort)
    _check_numbers(connection, where, numbers)
    columns = ", ".join(
        f"TRY_CAST({_quote(c)} AS DOUBLE) AS {_quote(c)}" if c in numbers else _quote(c)
        for c in uses
    )
    sample, subject = _quote(cohort.samples.sample), _quote(cohort.samples.subject)
    recorded = {
        name: _recorded(cohort.modalities[name].candidates, adapter)
        for name, adapter in adapters.items()
    }
    connection.execute(
        f"CREATE TEMP TABLE _rows AS SELECT {sample} AS sample, {subject} AS subject, "
        f"{_split(cohort)} AS split, _row AS row, [{', '.join(recorded.values())}] AS recorded "
        f"FROM (SELECT DISTINCT {columns} FROM _samples) AS _row"
    )
    drawn = cohort.samples.split if isinstance(cohort.samples.split, SplitBySubject) else None
    if connection.execute("SELECT count(*) FROM _rows").fetchall() == [(0,)]:
        raise DataError(
            f"{where}: no rows; expected one per sample. Correct the query or table.",
            *_empty(connection, cohort, source),
        )
    _check_rows(connection, where, split_is_drawn=drawn is not None)
    if drawn:
        _draw(connection, drawn)
    enough = f"list_count(list_filter(recorded, lambda one: one)) >= {cohort.samples.at_least}"
    table = connection.sql(
        f"SELECT sample, subject, split, row FROM _rows WHERE {enough} ORDER BY sample"
    ).to_arrow_table()
    ((left,),) = connection.execute("SELECT count(*) FROM _samples").fetchall()
    patterns = connection.execute(
        "SELECT recorded, count(*) FROM _rows GROUP BY recorded ORDER BY recorded DESC"
    ).fetchall()
    distinct = sum(count for _, count in patterns)
    return Selected(
        samples=table,
        rows=left + sum(reasons.values()),
        left_out={
            reason: count
            for reason, count in (
                *reasons.items(),
                ("repeated-row", left - distinct),
                (too_few(cohort, "recorded"), distinct - len(table)),
            )
            if count
        },
        recorded={
            "+".join(name for name, there in zip(recorded, pattern, strict=True) if there): count
            for pattern, count in patterns
        },
    )


def too_few(cohort: Cohort, what: str) -> str:
    """The reason for which a sample with too few modalities is left out."""
    least = cohort.samples.at_least
    return f"nothing-{what}" if least == 1 else f"fewer-than-{least}-{what}"


def read_candidates(cohort: Cohort, source: Path) -> pd.DataFrame:
    """The published candidate lists: query and candidate, by id, and split.

    Raises:
        DataError: with every column that is missing.
    """
    lists, problems = [pd.DataFrame({"query": [], "candidate": [], "split": []})], []
    for split, table in cohort.candidates.items():
        reader = _reader(source / table.table)
        with _connect() as connection:
            found = connection.sql(f"FROM {reader}").columns
        missing = {table.query, table.candidate} - {*found}
        problems.extend(
            f"{source / table.table}: no column '{column}', which candidates.{split} needs. "
            "Add it, or correct the cohort's file."
            for column in sorted(missing)
        )
        if not missing:
            columns = f"{_quote(table.query)} AS query, {_quote(table.candidate)} AS candidate"
            with _connect() as connection:
                rows = connection.execute(f"SELECT {columns} FROM {reader}").df()
            lists.append(rows.assign(split=split))
    if problems:
        raise DataError(*problems)
    return pd.concat(lists[1:] or lists, ignore_index=True)


def _uses(
    connection: duckdb.DuckDBPyConnection,
    cohort: Cohort,
    adapters: Mapping[str, Any],
    where: str,
) -> list[str]:
    """Every column that is needed; fields of candidates come with their list.

    Raises:
        DataError: with all that are not there.
    """
    described = connection.execute("DESCRIBE _samples").fetchall()
    found = [name for name, *_ in described]
    fields, problems = _fields(connection, cohort, where)
    shown = ", ".join(found[:12]) + (" …" if len(found) > 12 else "")
    uses: dict[str, None] = {}
    for column, use in _needed(cohort, adapters).items():
        if column in found:
            uses[column] = None
        elif column not in fields:
            problems.append(
                f"{where}: no column '{column}', which {use} needs; it has {shown}. Add it, or "
                "correct the cohort's file."
            )
    if problems:
        raise DataError(*problems)
    return [*uses]


def _needed(cohort: Cohort, adapters: Mapping[str, Any]) -> dict[str, str]:
    """Every column or field that the cohort names, and what for."""
    asked = cohort.samples
    needed = {asked.sample: "samples.sample", asked.subject: "samples.subject"}
    if column := _split_column(cohort):
        needed.setdefault(column, "samples.split")
    for name, adapter in adapters.items():
        if column := cohort.modalities[name].candidates:
            needed.setdefault(column, f"modalities.{name}.candidates")
        for column in adapter.columns:
            needed.setdefault(column, f"modalities.{name}")
    for name, outcome in cohort.outcomes.items():
        needed.setdefault(outcome.column, f"outcomes.{name}")
        if outcome.known:
            needed.setdefault(outcome.known, f"outcomes.{name}.known")
    for name, subgroup in cohort.subgroups.items():
        needed.setdefault(subgroup.column, f"subgroups.{name}")
    for use in ("required", "measured", "keep"):
        for column in getattr(asked, use):
            needed.setdefault(column, f"samples.{use}")
    if asked.left_out:
        needed.setdefault(asked.left_out, "samples.left_out")
    return needed


def _fields(
    connection: duckdb.DuckDBPyConnection, cohort: Cohort, where: str
) -> tuple[set[str], list[str]]:
    """The fields of all candidates, and what is wrong with them."""
    schema = connection.sql("FROM _samples LIMIT 0").to_arrow_table().schema
    fields, problems = set(), []
    for name, definition in cohort.modalities.items():
        if definition.candidates not in schema.names:
            continue
        kind = schema.field(definition.candidates).type
        if not pa.types.is_list(kind) or not pa.types.is_struct(kind.value_type):
            problems.append(
                f"{where}: column '{definition.candidates}' is {kind}; expected a list of structs, "
                f"the candidates of modalities.{name}. Make one with list({{…}} ORDER BY …)."
            )
            continue
        found = {field.name for field in kind.value_type}
        problems += [
            f"{where}: '{field}' is a column or a candidate's field already; expected one of that "
            "name. Rename one."
            for field in sorted(found & ({*schema.names} | fields))
        ]
        fields |= found
    return fields, problems


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


def _recorded(candidates: str | None, adapter: Any) -> str:
    """The SQL condition under which a row has a recording of a modality."""
    if candidates:
        return f"coalesce(len({_quote(candidates)}), 0) > 0"
    files = [column for column in adapter.columns if column not in adapter.numbers]
    text = [f"coalesce(trim(CAST({_quote(c)} AS VARCHAR)), '') NOT IN ('', 'nan')" for c in files]
    values = [f"coalesce(NOT isnan({_quote(column)}), false)" for column in adapter.numbers]
    any_value = [f"({' OR '.join(values)})"] if values else []
    return " AND ".join([*text, *any_value]) or "true"


def _split_column(cohort: Cohort) -> str | None:
    split = cohort.samples.split
    if isinstance(split, SplitByValue):
        return split.column
    if isinstance(split, SplitBySubject):
        return None
    return split or "_split"


def _split(cohort: Cohort) -> str:
    """The SQL expression of a row's split; one that is no split's name where it is unknown."""
    split, column = cohort.samples.split, _split_column(cohort)
    if column is None:
        return "CAST(NULL AS VARCHAR)"
    if not isinstance(split, SplitByValue):
        return _quote(column)
    cases = [
        f"WHEN CAST({_quote(column)} AS VARCHAR) IN ({', '.join(map(_literal, values))}) "
        f"THEN '{name}'"
        for name in SPLITS
        if (values := getattr(split, name))
    ]
    return f"CASE {' '.join(cases)} END"


def _load(
    connection: duckdb.DuckDBPyConnection, cohort: Cohort, source: Path, text: Iterable[str]
) -> str:
    """Make the table `_samples`, with columns that are text whatever they look like: 007 is not 7.

    The answer is what to call the table in messages.
    """
    for name, file in cohort.tables.items():
        try:
            reader = _reader(source / file, types=cohort.types.get(name))
            connection.execute(f"CREATE VIEW {_quote(name)} AS FROM {reader}")
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
    except duckdb.BinderException as error:
        raise DataError(
            f"{where}: {error}\n{_columns(connection, cohort, source)}"
            f"Correct the query, or the tables under {source}.",
            *_empty(connection, cohort, source),
        ) from None
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


def _columns(connection: duckdb.DuckDBPyConnection, cohort: Cohort, source: Path) -> str:
    """A line for each table of the query: its name there, its file and its columns."""
    query = "SELECT column_name FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index"
    lines = []
    for name, file in cohort.tables.items():
        columns = [column for (column,) in connection.execute(query, [name]).fetchall()]
        lines.append(f"{name} is {source / file}, with {', '.join(columns)}.\n")
    return "".join(lines)


def _empty(connection: duckdb.DuckDBPyConnection, cohort: Cohort, source: Path) -> list[str]:
    """A sentence for each file of the cohort that has no rows, such as one of a header alone."""
    return [
        f"{path}: has no rows; expected {what} of cohort '{cohort.name}'. Get the file again."
        for what, path in source_files(cohort, source).items()
        if not connection.execute(f"FROM {_reader(path, types={})} LIMIT 1").fetchall()
    ]


def _check_numbers(
    connection: duckdb.DuckDBPyConnection, where: str, columns: Iterable[str]
) -> None:
    problems = []
    described = connection.execute("DESCRIBE _samples").fetchall()
    numeric = {name for name, kind, *_ in described if kind in NUMERIC}
    for column in sorted({*columns} - numeric):
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


def _draw(connection: duckdb.DuckDBPyConnection, split: SplitBySubject) -> None:
    """Set the split of each row: a seeded draw of subjects, whichever samples they have."""
    query = "SELECT DISTINCT subject FROM _rows ORDER BY subject"
    subjects = connection.sql(query).to_arrow_table()
    order = np.random.default_rng(split.seed).permutation(len(subjects))
    tuning = round(split.tuning * len(subjects))
    held_out = round(split.held_out * len(subjects))
    name = np.full(len(subjects), "train", dtype=object)
    name[order[:tuning]] = "tuning"
    name[order[tuning : tuning + held_out]] = "held_out"
    drawn = subjects.append_column("split", pa.array(name, type=pa.string()))
    connection.register("_drawn", drawn)
    connection.execute(
        "UPDATE _rows SET split = _drawn.split FROM _drawn WHERE _rows.subject = _drawn.subject"
    )


def _reader(file: Path, text: Iterable[str] = (), *, types: Mapping[str, str] | None = None) -> str:
    """The DuckDB expression that reads a file.

    Args:
        file: CSV, CSV.gz or Parquet.
        text: columns that are text whatever they look like.
        types: of some columns, the others being text; without, types are told from all of the file,
            not from its head.
    """
    path = _literal(str(file))
    if file.suffix == ".parquet":
        return f"read_parquet({path})"
    if types is not None:
        return f"read_csv({path}, header = true, all_varchar = true, types = {dict(types)})"
    reader = f"read_csv({path}, header = true, sample_size = -1"
    if text:
        with _connect() as connection:
            found = connection.sql(f"FROM {reader})").columns
        told = {name: "VARCHAR" for name in found if name in text}
        reader += f", types = {told}" if told else ""
    return f"{reader})"


def _connect(config: Mapping[str, Any] | None = None) -> duckdb.DuckDBPyConnection:
    """DuckDB in memory, which downloads nothing: a query has what is installed."""
    return duckdb.connect(config={"autoinstall_known_extensions": False, **(config or {})})


def _literal(value: Any) -> str:
    escaped = str(value).replace("'", "''")
    return f"'{escaped}'"


def _quote(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _some(ids: Any) -> str:
    return ", ".join(str(value) for value in list(ids)[:SHOWN])
