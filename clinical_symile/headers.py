"""Names of columns in messages: those of a CSV without a header are the values of a patient.

DuckDB takes the first line of a CSV for its header. Where that line is a row of values, the "names"
are an id, a date, a result, and must be in no message. So names are told only of a table whose
first line is a header beyond doubt: every name in it looks like one, and the cohort's own files
name one of them.
"""

import re
from collections.abc import Collection, Iterable, Sequence

from clinical_symile.cohort import Cohort

# It begins with a letter, as no id, date or number does, and is not one long text.
LIKE_A_NAME = re.compile(r"[^\W\d_][\w .:()%/#-]{0,62}|_\w{1,62}")
WORD = re.compile(r"\w+")
SHOWN = 40  # names in one message


def named(cohort: Cohort) -> frozenset[str]:
    """Every word, in lower case, that the cohort's files use for something: no text in quotes."""
    words = {column.lower() for columns in cohort.types.values() for column in columns}
    words |= {column.lower() for column in named_by_file(cohort)}
    if cohort.samples.sql:
        query = (cohort.folder / cohort.samples.sql).read_text(encoding="utf-8")
        query = re.sub(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", " ", query, flags=re.DOTALL)
        words |= {word.lower() for word in WORD.findall(query)}
        words |= {name.lower() for name in re.findall(r'"([^"]+)"', query)}
    return frozenset(words)


def named_by_file(cohort: Cohort) -> list[str]:
    """The columns that the cohort's file names beside those of its modalities."""
    asked = cohort.samples
    return [
        *(asked.sample, asked.subject, *asked.required, *asked.measured, *asked.keep),
        *(outcome.column for outcome in cohort.outcomes.values()),
        *(subgroup.column for subgroup in cohort.subgroups.values()),
    ]


def has_header(columns: Collection[str], names: Collection[str]) -> bool:
    """Whether the names of a table's columns are names.

    >>> has_header(["subject_id", "Age"], {"age"}), has_header(["1001", "Age"], {"age"})
    (True, False)

    Args:
        columns: the first line of a CSV.
        names: words that a cohort's files use, in lower case.
    """
    return all(map(LIKE_A_NAME.fullmatch, columns)) and any(c.lower() in names for c in columns)


def told(columns: Sequence[str], names: Collection[str]) -> str:
    """The columns of a table for a message: their names, or how many where those may be values.

    >>> told(["subject_id", "Age"], {"age"})
    'subject_id, Age'
    >>> told(["1001", "Age"], {"age"})
    '2 columns and, it seems, no header: expected their names in the first line'

    Args:
        columns: of a table.
        names: words that a cohort's files use, in lower case.
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


def _no_two_blank(lines: Iterable[str]) -> list[str]:
    kept: list[str] = []
    for line in lines:
        if line.strip() or (kept and kept[-1].strip()):
            kept.append(line)
    return kept
