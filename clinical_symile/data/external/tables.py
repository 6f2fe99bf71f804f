"""Read the CSV and Parquet tables that external models leave, with ids as text."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError

# Ids are read as text: 007 is not 7.
_ID_TYPES: dict[Any, Any] = dict.fromkeys(("sample", "subject_id", "query", "candidate"), str)
_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": lambda path: pd.read_csv(path, dtype=_ID_TYPES),
    ".csv.gz": lambda path: pd.read_csv(path, dtype=_ID_TYPES),
    ".parquet": pd.read_parquet,
}
_TRUTH = {"True": 1.0, "true": 1.0, "False": 0.0, "false": 0.0}


def read_table(path: Path) -> pd.DataFrame:
    """Read the rows of a file.

    Raises:
        DataError: the file does not exist, is neither CSV nor Parquet, cannot be read, or is empty.
    """
    reader = next((read for end, read in _READERS.items() if path.name.endswith(end)), None)
    if reader is None or not path.is_file():
        problem = "no such file" if not path.is_file() else "neither CSV nor Parquet by its name"
        raise DataError(
            f"{path}: {problem}; expected a file that ends in {', '.join(_READERS)}. Nothing else "
            "is read: pickled files can run code.",
            code="CS-M001",
        )
    try:
        table = reader(path)
    except (ValueError, OSError) as error:
        raise DataError(
            f"{path}: cannot be read ({type(error).__name__}). Write it again.", code="CS-M001"
        ) from None
    if table.empty:
        raise DataError(f"{path}: has no rows; expected some. Write it again.", code="CS-M001")
    return table


def parse_key(value: Any) -> str | None:
    """Return an id as text, the same from a number as from text; None for an empty cell."""
    if is_blank(value):
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def parse_number(value: Any) -> float:
    """Return a cell as a number, with true as 1 and false as 0; NaN if it is none."""
    try:
        return _TRUTH[value] if isinstance(value, str) and value in _TRUTH else float(value)
    except (TypeError, ValueError):
        return float("nan")


def is_blank(value: Any) -> bool:
    """Return True if a cell holds null, NaN or blank text."""
    blank = isinstance(value, str) and not value.strip()
    return blank or bool(pd.api.types.is_scalar(value) and pd.isna(value))


def row_positions(keys: np.ndarray, samples: Iterable[Any]) -> np.ndarray:
    """Return the row of each key among the ids of a store's samples; -1 where there is none."""
    rows = {parse_key(sample): row for row, sample in enumerate(samples)}
    return np.array([rows.get(parse_key(key), -1) for key in keys], dtype=np.int64)


def unknown_samples(file: str, rows: np.ndarray, store: CohortStore, *, what: str) -> list[str]:
    """Return a problem if some rows of a file are of samples that the store lacks.

    Args:
        file: its name.
        rows: the row of the store for each row of the file; below 0 where there is none.
        store: the cohort.
        what: the rows are, in the plural.
    """
    unknown = int((rows < 0).sum())
    if not unknown:
        return []
    return [
        f"{file}: {unknown} of {len(rows)} {what} are of samples that are not in the store of "
        f"cohort '{store.cohort}'; expected its sample ids. Remove the others."
    ]
