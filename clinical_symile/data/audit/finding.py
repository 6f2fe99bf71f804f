"""Define the finding of an audit, and read from a store what several checks need."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as parquet
from jaxtyping import Int

from clinical_symile.data.store import CohortStore

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
    """Return, for each modality read from files, the file of each sample; empty without one."""
    file = store.path / "files.parquet"
    if not file.is_file():
        return {}
    table = parquet.read_table(file)
    return {name: table[name].to_pylist() for name in table.column_names}


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
