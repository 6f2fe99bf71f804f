"""Define the finding of an audit, and read from a store what several checks need."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.tracking.records import read_parquet

PART = 64  # measurements that are read at once


class Severity(IntEnum):
    """The severity of a finding."""

    FINE = 0
    NOTE = 1
    WARNING = 2
    ERROR = 3

    @property
    def status(self) -> int:
        """The exit status for this worst severity; 1 means that the audit could not run."""
        return self.value if self >= Severity.WARNING else 0


@dataclass(frozen=True, kw_only=True)
class AuditFinding:
    """The outcome of one check.

    Attributes:
        check: name of the check.
        severity: severity of the finding.
        sentence: the finding, with counts, and what to do; no id and no value of a subject.
        samples: the samples concerned.
    """

    check: str
    severity: Severity
    sentence: str
    samples: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return f"{self.severity.name.lower():7} {self.check}: {self.sentence}"


def file_names(store: CohortStore) -> dict[str, list[str]]:
    """Return, for each modality read from files, the file of each sample; empty without one.

    Raises:
        DataError: the table is damaged, or has other columns or another number of rows.
    """
    file = store.path / "files.parquet"
    if not file.is_file():
        return {}
    action = "Remove the store and prepare it again."
    table = read_parquet(file, action=action, code="CS-D017")
    fits = len(table) == len(store.samples) and set(table.columns) <= set(store.modalities)
    if not fits or not all(map(pd.api.types.is_string_dtype, table.dtypes)):
        raise DataError(
            f"{file}: is not the table of the store's files; expected one name for each of "
            f"{len(store.samples)} samples and each modality. {action}",
            code="CS-D017",
        )
    return {str(name): table[name].tolist() for name in table.columns}


def value_codes(store: CohortStore, column: str) -> Int[np.ndarray, " sample"]:
    """Return an integer code of a column's value for each sample."""
    return np.asarray(pd.factorize(store.samples[column])[0], dtype=np.int64)


def present_rows(store: CohortStore, modality: str) -> Int[np.ndarray, " row"]:
    """Return the rows of the samples that have a modality."""
    return np.flatnonzero(store.present[:, store.modalities.index(modality)])


def in_parts(rows: Int[np.ndarray, " row"]) -> Iterator[Int[np.ndarray, " part"]]:
    """Yield rows in parts that are read at once."""
    yield from (rows[first : first + PART] for first in range(0, len(rows), PART))


def sample_ids(store: CohortStore, rows: Any) -> tuple[Any, ...]:
    """Return the ids of some rows, for `audit --samples` alone."""
    return tuple(store.samples["sample"].iloc[list(rows)])
