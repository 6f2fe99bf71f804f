"""Everybody has the same risk."""

import numpy as np
from jaxtyping import Bool, Float, Int

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.store import CohortStore
from clinical_symile.training.supervised import LabelledRows


class Prevalence:
    """How common the outcome is among the training samples: what is known without looking."""

    description = "The same risk for everybody: how common the outcome is in training."
    learns_from_all = False

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
        """See `Baseline`."""
        return np.full(len(rows), train.label.mean())
