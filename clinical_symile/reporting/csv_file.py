"""Write tables as CSV that no spreadsheet takes for formulas."""

from pathlib import Path

import pandas as pd

from clinical_symile.files import write_text

# A spreadsheet runs a cell that begins with one of these signs.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_text(frame: pd.DataFrame) -> str:
    """Return a table as CSV.

    A text that a spreadsheet would run as a formula has an apostrophe before it, which spreadsheets
    do not show. Numbers stay as they are, negative ones as well. Source: OWASP, "CSV Injection",
    https://owasp.org/www-community/attacks/CSV_Injection.
    """
    safe = frame.rename(columns=_without_formula).map(_without_formula)
    return safe.to_csv(index=False, lineterminator="\n")


def write_csv(frame: pd.DataFrame, path: str | Path) -> Path:
    """Write a table as `csv_text` has it, and return the path."""
    path = Path(path)
    write_text(path, csv_text(frame))
    return path


def _without_formula(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = f"'{value}" if value.startswith(_FORMULA) else value
    return text.replace("\r", " ")  # which ends a line outside quotes
