"""Name a table's columns in messages only where its first line is a header.

DuckDB takes the first line of a CSV for its header. If that line is a row of values, the "names"
are an id, a date and a result of a patient. No message may then contain them. A first line counts
as a header if every name in it looks like a name and the cohort's own files name two of them.
Otherwise messages also omit the text of DuckDB's errors.
"""

import re
from collections.abc import Collection, Iterable, Sequence

from clinical_symile.config.cohort import Cohort

# A name begins with a letter, unlike ids, dates and numbers, and is short.
_NAME_PATTERN = re.compile(r"[^\W\d_][\w .:()%/#-]{0,62}|_\w{1,62}")
_MIN_KNOWN_NAMES = 2  # a single known name may be a value by chance
_MAX_NAMES_SHOWN = 40  # in one message


def known_column_names(cohort: Cohort, referred: Iterable[str] = ()) -> frozenset[str]:
    """Return the columns, in lower case, that a cohort's files name.

    Args:
        cohort: the cohort; its `cohort.toml` is read.
        referred: columns that its query refers to.
    """
    samples = cohort.samples
    columns = [
        *(
            samples.sample,
            samples.subject,
            *samples.required,
            *samples.measurement_hours,
            *samples.keep,
        ),
        *(outcome.column for outcome in cohort.outcomes.values()),
        *(subgroup.column for subgroup in cohort.subgroups.values()),
        *(column for types in cohort.types.values() for column in types),
        *referred,
    ]
    return frozenset(column.lower() for column in columns)


def has_header(columns: Collection[str], names: Collection[str]) -> bool:
    """Return True if the first line of a table is a header.

    >>> names = {"age", "sex"}
    >>> has_header(["Sex", "Age"], names), has_header(["1001", "Age", "Sex"], names)
    (True, False)

    Args:
        columns: the first line of a CSV.
        names: columns that a cohort's files name, in lower case.
    """
    known = sum(column.lower() in names for column in columns)
    return known >= _MIN_KNOWN_NAMES and all(map(_NAME_PATTERN.fullmatch, columns))


def header_for_message(columns: Sequence[str], names: Collection[str]) -> str:
    """Format the columns of a table for a message; only their number where they may be values.

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
    return ", ".join(columns[:_MAX_NAMES_SHOWN]) + (" …" if len(columns) > _MAX_NAMES_SHOWN else "")


def without_candidates(message: object) -> str:
    r"""Remove from a DuckDB message the columns that it suggests.

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
    return "\n".join(_without_double_blank_lines(lines)).strip()


def lines_of_query(message: object) -> str:
    r"""Return only the lines of the query that a DuckDB message quotes.

    >>> lines_of_query('Binder Error: no "1001"\n\nLINE 1: SELECT age\n               ^^^')
    'LINE 1: SELECT age\n               ^^^'
    """
    lines = str(message).splitlines()
    begins = [place for place, line in enumerate(lines) if re.match(r"LINE \d+: ", line)]
    return "\n".join(lines[begins[-1] :]) if begins else ""


def _without_double_blank_lines(lines: Iterable[str]) -> list[str]:
    kept: list[str] = []
    for line in lines:
        if line.strip() or (kept and kept[-1].strip()):
            kept.append(line)
    return kept
