"""Names of columns in messages: those of a CSV without a header are the values of a patient.

DuckDB takes the first line of a CSV for its header. Where that line is a row of values, the "names"
are an id, a date, a result, and must be in no message. So names are told only of a table whose
first line is a header beyond doubt: every name in it looks like one, and the cohort's own files
name two of them. Where a table has none, what DuckDB says is not quoted either.
"""

import re
from collections.abc import Collection, Iterable, Sequence

from clinical_symile.config.cohort import Cohort

# It begins with a letter, as no id, date or number does, and is not one long text.
LIKE_A_NAME = re.compile(r"[^\W\d_][\w .:()%/#-]{0,62}|_\w{1,62}")
ENOUGH = 2  # names that the cohort knows: one alone may be a value by chance
SHOWN = 40  # names in one message


def known_column_names(cohort: Cohort, referred: Iterable[str] = ()) -> frozenset[str]:
    """The columns, in lower case, that a cohort's files name.

    Args:
        cohort: whose `cohort.toml` is looked at.
        referred: columns that its query refers to.
    """
    asked = cohort.samples
    columns = [
        *(asked.sample, asked.subject, *asked.required, *asked.measured, *asked.keep),
        *(outcome.column for outcome in cohort.outcomes.values()),
        *(subgroup.column for subgroup in cohort.subgroups.values()),
        *(column for types in cohort.types.values() for column in types),
        *referred,
    ]
    return frozenset(column.lower() for column in columns)


def has_header(columns: Collection[str], names: Collection[str]) -> bool:
    """Whether the names of a table's columns are names.

    >>> names = {"age", "sex"}
    >>> has_header(["Sex", "Age"], names), has_header(["1001", "Age", "Sex"], names)
    (True, False)

    Args:
        columns: the first line of a CSV.
        names: columns that a cohort's files name, in lower case.
    """
    known = sum(column.lower() in names for column in columns)
    return known >= ENOUGH and all(map(LIKE_A_NAME.fullmatch, columns))


def header_for_message(columns: Sequence[str], names: Collection[str]) -> str:
    """The columns of a table for a message: their names, or how many where those may be values.

    >>> header_for_message(["subject_id", "Age"], {"age", "subject_id"})
    'subject_id, Age'
    >>> header_for_message(["1001", "Age"], {"age", "subject_id"})
    '2 columns and, it seems, no header: expected their names in the first line'

    Args:
        columns: of a table.
        names: columns that a cohort's files name, in lower case.
    """
    if not has_header(columns, names):
        return (
            f"{len(columns)} columns and, it seems, no header: expected their names in the first "
            "line"
        )
    return ", ".join(columns[:SHOWN]) + (" …" if len(columns) > SHOWN else "")


def without_candidates(message: object) -> str:
    r"""A message of DuckDB without the names that it guesses were meant.

    >>> without_candidates('Binder Error: "age" not found!\nCandidate bindings: "1001"')
    'Binder Error: "age" not found!'
    """
    lines, skipping = [], False
    for line in str(message).splitlines():
        if line.strip().startswith("Candidate"):
            skipping = True
        elif not line.strip() or line.startswith("LINE "):
            skipping = False
        if not skipping:
            lines.append(line)
    return "\n".join(_no_two_blank(lines)).strip()


def lines_of_query(message: object) -> str:
    r"""What a message of DuckDB quotes of the query, and nothing else of it.

    >>> lines_of_query('Binder Error: no "1001"\n\nLINE 1: SELECT age\n               ^^^')
    'LINE 1: SELECT age\n               ^^^'
    """
    lines = str(message).splitlines()
    begins = [place for place, line in enumerate(lines) if re.match(r"LINE \d+: ", line)]
    return "\n".join(lines[begins[-1] :]) if begins else ""


def _no_two_blank(lines: Iterable[str]) -> list[str]:
    kept: list[str] = []
    for line in lines:
        if line.strip() or (kept and kept[-1].strip()):
            kept.append(line)
    return kept
