"""Read the tables beside a store that patterns refer to: `masks/<name>.csv`, `sites/<name>.csv`."""

from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore, DataError
from clinical_symile.missingness.patterns import Pattern
from clinical_symile.registry.names import path_in
from clinical_symile.tracking.records import UNREADABLE_TABLE


def pattern_file(pattern: Pattern, store: CohortStore) -> Path | None:
    """Return the path of the table that a pattern reads, existing or not; None if it reads none."""
    if pattern.mechanism == "mask":
        return path_in(store.path / "masks", pattern.given, suffix=".csv")
    if (
        pattern.mechanism == "site"
        and pattern.given
        and f"kept_{pattern.given}" not in store.samples
    ):
        return path_in(store.path / "sites", pattern.given, suffix=".csv")
    return None


def read_site_table(
    pattern: Pattern, path: Path, *, cohort: str, modalities: tuple[str, ...]
) -> tuple[Bool[np.ndarray, "line modality"], Float[np.ndarray, " line"]]:
    """Read a table of availabilities and their counts at another site.

    Returns:
        The lines with a modality and a count above 0, and their counts.

    Raises:
        CannotScore: there is no such table, or it lacks a modality.
        DataError: the table is wrong.
    """
    if not path.is_file():
        raise CannotScore(
            f"'{pattern.name}': cohort '{cohort}' keeps no column '{pattern.given}', and the "
            f"store has no sites/{pattern.given}.csv with the columns {', '.join(modalities)} and "
            "count. Add one, or leave the pattern out.",
            code="CS-S013",
        )
    table = _read_table(path, pattern, ["count"], modalities)
    available = _as_availability(table, modalities, path)
    counts = np.asarray(pd.to_numeric(table["count"], errors="coerce"), dtype=np.float64)
    if not np.isfinite(counts).all():
        raise DataError(
            f"{path}: {int((~np.isfinite(counts)).sum())} counts are no numbers. Correct them.",
            code="CS-D024",
        )
    useful = available.any(axis=1) & (counts > 0)
    if (counts < 0).any() or not useful.any():
        raise DataError(
            f"{path}: no line with a modality and a count above 0. Correct the table.",
            code="CS-D024",
        )
    return available[useful], counts[useful]


def read_mask(
    pattern: Pattern, path: Path, *, samples: tuple[str, ...], modalities: tuple[str, ...]
) -> Bool[np.ndarray, "sample modality"]:
    """Read which modalities a mask file leaves visible to each sample.

    Raises:
        CannotScore: there is no such file, or it lacks a modality.
        DataError: the file is wrong, or lacks a sample.
    """
    if not path.is_file():
        raise CannotScore(
            f"'{pattern.name}': the store has no masks/{pattern.given}.csv with the columns sample "
            f"and {', '.join(modalities)}. Add one, or leave the pattern out.",
            code="CS-S013",
        )
    table = _read_table(path, pattern, ["sample"], modalities).astype({"sample": str})
    entries = pd.DataFrame(
        _as_availability(table, modalities, path), index=pd.Index(table["sample"])
    )
    missing = sum(sample not in entries.index for sample in samples)
    if missing or not entries.index.is_unique:
        raise DataError(
            f"{path}: {missing} of {len(samples)} samples have no line; expected one line for each "
            "sample. Complete the file, with no sample twice.",
            code="CS-D024",
        )
    return entries.loc[list(samples)].to_numpy(dtype=bool)


def _read_table(
    path: Path, pattern: Pattern, columns: list[str], modalities: tuple[str, ...]
) -> pd.DataFrame:
    """Read a table with some columns and a column for each modality.

    Raises:
        CannotScore: the table lacks a modality of the task, as a table for other tasks does.
        DataError: the table lacks another column.
    """
    try:
        table = pd.read_csv(path, dtype={"sample": str}, encoding="utf-8-sig")
    except PermissionError:
        raise
    except UNREADABLE_TABLE as error:
        raise DataError(
            f"{path}: cannot be read ({type(error).__name__}); expected CSV in UTF-8. Write it "
            "again.",
            code="CS-D024",
        ) from None
    missing = [name for name in columns if name not in table]
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)}. Add it.", code="CS-D024")
    unknown = [name for name in modalities if name not in table]
    if unknown:
        raise CannotScore(
            f"'{pattern.name}': {path.parent.name}/{path.name} has no column {', '.join(unknown)}, "
            "which this task needs. Add it, or leave the pattern out of this task.",
            code="CS-S013",
        )
    return table


def _as_availability(
    table: pd.DataFrame, modalities: tuple[str, ...], path: Path
) -> Bool[np.ndarray, "line modality"]:
    """Return the modalities' columns as Booleans.

    Raises:
        DataError: a column has other values than 0 and 1.
    """
    values = table[list(modalities)]
    if not values.isin([0, 1]).to_numpy().all():
        raise DataError(
            f"{path}: a modality's column has other values than 0 and 1. Correct it.",
            code="CS-D024",
        )
    return values.to_numpy(dtype=bool)
