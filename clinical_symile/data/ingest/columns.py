"""Find the columns that a cohort reads from its samples' rows, and check that they exist."""

from collections.abc import Mapping
from typing import Any

import duckdb

from clinical_symile.config.cohort import Cohort
from clinical_symile.config.splits import SPLITS, SplitBySubject, SplitByValue
from clinical_symile.data.ingest.csv_headers import header_for_message, known_column_names
from clinical_symile.data.ingest.sql import sql_identifier, sql_literal
from clinical_symile.errors import DataError
from clinical_symile.modalities.base import is_empty

NUMERIC_TYPES = ("BIGINT", "INTEGER", "SMALLINT", "TINYINT", "HUGEINT", "FLOAT", "DOUBLE")
TABLE_SPLIT_COLUMN = "_split"  # names the split of a row where each split has its own table


def split_column(cohort: Cohort) -> str | None:
    """Return the column that holds the split; None where the split is drawn."""
    split = cohort.samples.split
    if isinstance(split, SplitByValue):
        return split.column
    if isinstance(split, SplitBySubject):
        return None
    return split or TABLE_SPLIT_COLUMN


def split_expression(cohort: Cohort) -> str:
    """Return the SQL expression of a row's split; NULL where the split is drawn or unknown."""
    split, column = cohort.samples.split, split_column(cohort)
    if column is None:
        return "CAST(NULL AS VARCHAR)"
    if not isinstance(split, SplitByValue):
        return sql_identifier(column)
    cases = [
        f"WHEN CAST({sql_identifier(column)} AS VARCHAR) "
        f"IN ({', '.join(map(sql_literal, values))}) THEN '{name}'"
        for name in SPLITS
        if (values := getattr(split, name))
    ]
    return f"CASE {' '.join(cases)} END"


def recording_time_columns(cohort: Cohort) -> list[str]:
    """Return the columns or candidate fields that hold hours and must hold numbers."""
    known = [outcome.known for outcome in cohort.outcomes.values() if outcome.known]
    return [*cohort.samples.measurement_hours, *known]


def used_columns(
    connection: duckdb.DuckDBPyConnection,
    cohort: Cohort,
    adapters: Mapping[str, Any],
    where: str,
) -> list[str]:
    """Return every column of `_samples` that is needed; fields of candidates come with their list.

    Args:
        connection: the connection that has `_samples`.
        cohort: the cohort to read.
        adapters: the adapters of its modalities, by name.
        where: the name of `_samples` in messages.

    Raises:
        DataError: columns are missing, or candidates have the wrong type; all problems at once.
    """
    existing = connection.sql("FROM _samples LIMIT 0").columns
    fields, problems = _candidate_fields(connection, cohort, where)
    used: dict[str, None] = {}
    needed = _needed_columns(cohort, adapters)
    names = known_column_names(cohort, {*needed} - {TABLE_SPLIT_COLUMN})
    header = header_for_message(
        [column for column in existing if column != TABLE_SPLIT_COLUMN], names
    )
    for column, use in needed.items():
        if column in existing:
            used[column] = None
        elif column not in fields:
            problems.append(
                f"{where}: no column '{column}', which {use} needs; it has {header}. Add it, or "
                "correct the cohort's file."
            )
    if problems:
        raise DataError(*problems, code="CS-D008")
    return [*used]


def _needed_columns(cohort: Cohort, adapters: Mapping[str, Any]) -> dict[str, str]:
    """Return every column or field that the cohort names, and the key that needs it."""
    samples = cohort.samples
    needed = {samples.sample: "samples.sample", samples.subject: "samples.subject"}
    if column := split_column(cohort):
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
    for use in ("required", "measurement_hours", "keep"):
        for column in getattr(samples, use):
            needed.setdefault(column, f"samples.{use}")
    if samples.left_out:
        needed.setdefault(samples.left_out, "samples.left_out")
    return needed


def _candidate_fields(
    connection: duckdb.DuckDBPyConnection, cohort: Cohort, where: str
) -> tuple[set[str], list[str]]:
    """Return the fields of all candidate lists, and the problems of these lists."""
    rows = connection.sql("FROM _samples LIMIT 0")
    types: dict[str, Any] = dict(zip(rows.columns, rows.types, strict=True))
    fields, problems = set(), []
    for name, definition in cohort.modalities.items():
        if definition.candidates not in types:
            continue
        kind = types[definition.candidates]
        each = kind.children[0][1] if kind.id == "list" else kind
        if kind.id != "list" or each.id != "struct":
            problems.append(
                f"{where}: column '{definition.candidates}' is {kind}; expected a list of structs, "
                f"the candidates of modalities.{name}. Make one with list({{…}} ORDER BY …)."
            )
            continue
        kinds = dict(each.children)
        problems += [
            f"{where}: field '{field}' of '{definition.candidates}' is {kinds[field]}; expected a "
            "number of hours. Cast it in the query."
            for field in recording_time_columns(cohort)
            if field in kinds and not str(kinds[field]).startswith((*NUMERIC_TYPES, "DECIMAL"))
        ]
        found = {*kinds}
        problems += [
            f"{where}: '{field}' is already a column or another candidate's field; expected "
            "different names. Rename one."
            for field in sorted(found & ({*types} | fields))
        ]
        fields |= found
    return fields, problems


def comparable_code(value: Any) -> Any:
    """Return a value in one form, whether it was read as text or as a number."""
    if is_empty(value):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value).strip()
