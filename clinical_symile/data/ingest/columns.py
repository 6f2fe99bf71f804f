"""The columns that a cohort reads of its samples' rows, and whether they are there."""

from collections.abc import Mapping
from typing import Any

import duckdb

from clinical_symile.config.cohort import Cohort
from clinical_symile.data.ingest.csv_headers import header_for_message, known_column_names
from clinical_symile.data.ingest.splits import OF_TABLE, split_column
from clinical_symile.errors import DataError

NUMERIC = ("BIGINT", "INTEGER", "SMALLINT", "TINYINT", "HUGEINT", "FLOAT", "DOUBLE")


def recording_time_columns(cohort: Cohort) -> list[str]:
    """The columns or fields that hold hours, and so must hold numbers."""
    known = [outcome.known for outcome in cohort.outcomes.values() if outcome.known]
    return [*cohort.samples.measured, *known]


def used_columns(
    connection: duckdb.DuckDBPyConnection,
    cohort: Cohort,
    adapters: Mapping[str, Any],
    where: str,
) -> list[str]:
    """Every column of `_samples` that is needed; fields of candidates come with their list.

    Args:
        connection: where `_samples` is.
        cohort: what to read.
        adapters: of its modalities.
        where: the name of `_samples` in messages.

    Raises:
        DataError: with all that are not there.
    """
    found = connection.sql("FROM _samples LIMIT 0").columns
    fields, problems = _fields(connection, cohort, where)
    uses: dict[str, None] = {}
    needed = _needed(cohort, adapters)
    names = known_column_names(cohort, {*needed} - {OF_TABLE})
    shown = header_for_message([column for column in found if column != OF_TABLE], names)
    for column, use in needed.items():
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
            if field in kinds and not str(kinds[field]).startswith((*NUMERIC, "DECIMAL"))
        ]
        found = {*kinds}
        problems += [
            f"{where}: '{field}' is a column or a candidate's field already; expected one of that "
            "name. Rename one."
            for field in sorted(found & ({*types} | fields))
        ]
        fields |= found
    return fields, problems
