"""Define what a baseline provides: it predicts an outcome without any pretraining."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.predictors.base import Request
from clinical_symile.training.supervised import LabelledRows


@dataclass(frozen=True, eq=False, repr=False)
class BaselineInputs:
    """All that a baseline may use for one prediction.

    Attributes:
        train: samples of both classes to learn from.
        tuning: samples to choose hyperparameters by, at least one.
        request: the samples to predict, what is available of them, and the task.
        store: the cohort's measurements.
        pretraining: the task whose encoders and optimizer a baseline that trains any may use.
    """

    train: LabelledRows
    tuning: LabelledRows
    request: Request[Classification]
    store: CohortStore
    pretraining: Pretraining

    def tabular(self, samples: LabelledRows | Request) -> Float[np.ndarray, "sample value"]:
        """Return the values of all tabular modalities of some samples; NaN where unavailable."""
        modalities = self.request.task.inputs
        return tabular_values(self.store, samples.rows, samples.available, modalities)


@runtime_checkable
class Baseline(Protocol):
    """Protocol of a simple prediction that a pretrained model has to beat.

    Attributes:
        description: one sentence.
        learns_from_all: True if it learns from all measurements of training samples, also from
            those that the pattern hides.

    Implementations must read only modalities where `available` is True. With `learns_from_all` they
    may read everything of training samples, but not of samples to predict. The same samples and
    task give the same probabilities.
    """

    description: str
    learns_from_all: bool

    def predict(self, inputs: BaselineInputs) -> Float[np.ndarray, " sample"]:
        """Predict the probability of the task's one outcome for each sample of the request.

        Raises:
            CannotScore: it cannot predict from these inputs; the message says why.
        """
        ...


def tabular_values(
    store: CohortStore,
    rows: Int[np.ndarray, " sample"],
    available: Bool[np.ndarray, "sample modality"],
    modalities: tuple[str, ...],
) -> Float[np.ndarray, "sample value"]:
    """Return the values of all tabular modalities side by side.

    Args:
        store: the cohort.
        rows: rows of the store.
        available: True where a modality may be read.
        modalities: the columns of `available`.

    Returns:
        Values in the units of the store; NaN where unavailable or not measured. No columns if no
        modality is tabular.
    """
    parts: list[np.ndarray] = [np.zeros((len(rows), 0))]
    for column, name in enumerate(modalities):
        if len(store.manifest["modalities"][name]["shape"]) == 1:
            values = np.full((len(rows), *store.array(name).shape[1:]), np.nan)
            readable = available[:, column]
            values[readable] = store.array(name)[rows[readable]]
            parts.append(values)
    return np.concatenate(parts, axis=1)


def observed_columns(train: Float[np.ndarray, "sample value"]) -> Bool[np.ndarray, " value"]:
    """Return True for each column that some training sample has a value of.

    Raises:
        CannotScore: there is none.
    """
    observed = ~np.all(np.isnan(train), axis=0)
    if not observed.any():
        raise CannotScore("no labs are available under this pattern.", code="CS-S009")
    return observed
