"""Define what an evaluator provides: the outcome of a task under one missingness pattern."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Shaped

from clinical_symile.metrics.base import Metric
from clinical_symile.missingness.patterns import Pattern

ChanceInputs = Shaped[np.ndarray, " row"] | tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False, repr=False)
class TaskOutcome:
    """The outcome of a task under one pattern.

    Attributes:
        per_sample: one row for each sample, or for each sample and part of a task of several parts:
            `row` of the store, the columns that metrics are computed from, and `part`.
        tuning: the same for the tuning split, for recalibration; None where it was not predicted.
        metrics: the measures of a diagnostic, with parts; None for the metrics of the task. A
            column has NaN where a sample takes no part in them.
    """

    per_sample: pd.DataFrame
    tuning: pd.DataFrame | None = None
    metrics: tuple[Metric, ...] | None = None

    @property
    def chance_inputs(self) -> ChanceInputs:
        """The values that the chance level of a metric depends on; see `chance_inputs`."""
        return chance_inputs(self.per_sample)


@runtime_checkable
class Evaluator(Protocol):
    """Protocol of an evaluation of one model on one task.

    Attributes:
        candidates: the candidate lists of a retrieval task; empty for others.
    """

    candidates: pd.DataFrame

    def outcome(self, pattern: Pattern) -> TaskOutcome:
        """Evaluate the model under a missingness pattern.

        Raises:
            CannotScore: the model or the cohort lacks what is needed; the message says what.
        """
        ...


def chance_inputs(per_sample: pd.DataFrame) -> ChanceInputs:
    """Return what the chance level of a metric depends on.

    Returns:
        The number of candidates of each query; or the labels; or the labels and the part of each
        row, for a task of several parts; or the rows, for a diagnostic.
    """
    if "candidates" in per_sample:
        return per_sample["candidates"].to_numpy()
    if "label" not in per_sample:
        return per_sample["row"].to_numpy()
    label = per_sample["label"].to_numpy()
    return (label, per_sample["part"].to_numpy()) if "part" in per_sample else label
