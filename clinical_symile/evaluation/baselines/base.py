"""What a baseline must provide: it predicts an outcome without any pretraining."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.store import CohortStore
from clinical_symile.training.supervised import LabelledRows


@runtime_checkable
class Baseline(Protocol):
    """A way of predicting that a pretrained model has to beat.

    Attributes:
        description: one sentence.
        learns_from_all: whether it learns from all that was measured of training samples, also what
            the pattern hides of them.

    Of those it predicts, and otherwise of all, it may use nothing that is not seen. The same
    samples and task give the same probabilities.
    """

    description: str
    learns_from_all: bool

    def predict(
        self,
        train: LabelledRows,
        tuning: LabelledRows,
        rows: Int[np.ndarray, " sample"],
        available: Bool[np.ndarray, "sample modality"],
        *,
        store: CohortStore,
        task: Classification,
        pretraining: Pretraining,
    ) -> Float[np.ndarray, " sample"]:
        """The probability of the task's one outcome for each row.

        Args:
            train: samples of both classes to learn from.
            tuning: samples to choose by, one at least.
            rows: to predict, of the store.
            available: which of the task's inputs may be used, of each of them.
            store: what was measured.
            task: what is asked.
            pretraining: whose encoders and optimiser are used, by who trains any.

        Raises:
            CannotScore: it cannot predict from these, and why.
        """
        ...


def vectors(
    store: CohortStore,
    rows: Int[np.ndarray, " sample"],
    available: Bool[np.ndarray, "sample modality"],
    modalities: tuple[str, ...],
) -> Float[np.ndarray, "sample number"]:
    """The numbers of all modalities that are lists of numbers, as measured; NaN where not seen."""
    parts: list[np.ndarray] = [np.zeros((len(rows), 0))]
    for column, name in enumerate(modalities):
        if len(store.manifest["modalities"][name]["shape"]) == 1:
            shown = np.full((len(rows), *store.array(name).shape[1:]), np.nan)
            shown[available[:, column]] = store.array(name)[rows[available[:, column]]]
            parts.append(shown)
    return np.concatenate(parts, axis=1)
