"""How a cohort says which split a sample is in, in SQL."""

from clinical_symile.config.cohort import Cohort
from clinical_symile.config.cohort_schema import SPLITS, SplitBySubject, SplitByValue
from clinical_symile.data.ingest.tables import sql_identifier, sql_literal

OF_TABLE = "_split"  # column that says which table a row is of


def split_column(cohort: Cohort) -> str | None:
    """The column that tells the split; None where it is drawn."""
    split = cohort.samples.split
    if isinstance(split, SplitByValue):
        return split.column
    if isinstance(split, SplitBySubject):
        return None
    return split or OF_TABLE


def split_expression(cohort: Cohort) -> str:
    """The SQL expression of a row's split; one that is no split's name where it is unknown."""
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
