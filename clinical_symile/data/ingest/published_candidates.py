"""Read and write the candidate lists that a cohort publishes."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet

from clinical_symile.config.cohort import Cohort
from clinical_symile.data.ingest.source_tables import candidate_tables
from clinical_symile.data.ingest.sql import sql_identifier
from clinical_symile.data.ingest.tables import connect, describe_read_errors, reader_expression
from clinical_symile.errors import DataError


def read_candidates(cohort: Cohort, source: Path) -> pd.DataFrame:
    """Return the published candidate lists: query and candidate by id, and split.

    Raises:
        DataError: columns are missing; all of them at once.
    """
    lists, problems = [pd.DataFrame({"query": [], "candidate": [], "split": []})], []
    tables = candidate_tables(cohort, source)
    for split, table in cohort.candidates.items():
        from_file = f"FROM {reader_expression(tables[split])}"
        with describe_read_errors(tables[split]), connect() as connection:
            found = connection.sql(from_file).columns
        missing = {table.query, table.candidate} - {*found}
        problems.extend(
            f"{source / table.table}: no column '{column}', which candidates.{split} needs. "
            "Add it, or correct the cohort's file."
            for column in sorted(missing)
        )
        if not missing:
            query, candidate = sql_identifier(table.query), sql_identifier(table.candidate)
            columns = f"{query} AS query, {candidate} AS candidate"
            with describe_read_errors(tables[split]), connect() as connection:
                rows = connection.execute(f"SELECT {columns} {from_file}").df()
            lists.append(rows.assign(split=split))
    if problems:
        raise DataError(*problems, code="CS-D012")
    return pd.concat(lists[1:] or lists, ignore_index=True)


def write_candidates(cohort: Cohort, *, source: Path, store: Path) -> tuple[pd.DataFrame, int]:
    """Write the candidate lists of a store, by row number.

    Args:
        cohort: the cohort that publishes the lists.
        source: folder of the raw files.
        store: folder with the store's samples.

    Returns:
        The lists, and the number of pairs with a sample that is not in the store.

    Raises:
        DataError: columns are missing; all of them at once.
    """
    listed = read_candidates(cohort, source)
    if not cohort.candidates:
        return listed, 0
    samples = parquet.read_table(store / "samples.parquet", columns=["sample"])["sample"]
    row = {str(sample): place for place, sample in enumerate(samples.to_pylist())}
    for column in ("query", "candidate"):
        listed[column] = [row.get(str(sample), -1) for sample in listed[column]]
    in_store = (listed["query"] >= 0) & (listed["candidate"] >= 0)
    known = listed.loc[in_store].reset_index(drop=True)
    parquet.write_table(
        pa.Table.from_pandas(known, preserve_index=False), store / "candidates.parquet"
    )
    return known, len(listed) - len(known)
