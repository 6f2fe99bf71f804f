"""Logistic regression on labs as they were measured."""

import numpy as np
from jaxtyping import Bool, Float, Int

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.baselines.base import vectors
from clinical_symile.evaluation.probes._logistic_regression import chosen_regression
from clinical_symile.training.supervised import LabelledRows

STRENGTHS = (0.001, 0.01, 0.1, 1.0)


class LabsLogistic:
    """Logistic regression on every number of the modalities that are lists of numbers.

    What was not measured has the median of the training samples, and a mark.
    """

    description = "Logistic regression on the labs as they were measured."
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
        """See `Baseline`.

        Raises:
            CannotScore: no number is seen of any training sample.
        """
        known = vectors(store, train.rows, train.available, task.inputs)
        measured = ~np.isnan(known).all(axis=0)
        if not measured.any():
            raise CannotScore("no labs are seen under this pattern.")
        medians = np.nanmedian(known[:, measured], axis=0)

        def filled(
            some: Int[np.ndarray, " sample"], shown: Bool[np.ndarray, "sample modality"]
        ) -> Float[np.ndarray, "sample feature"]:
            numbers = vectors(store, some, shown, task.inputs)[:, measured]
            absent = np.isnan(numbers)
            return np.concatenate([np.where(absent, medians, numbers), absent], axis=1)

        fitted = chosen_regression(
            filled(train.rows, train.available),
            train.label,
            filled(tuning.rows, tuning.available),
            tuning.label,
            strengths=STRENGTHS,
        )
        return fitted.predict_proba(filled(rows, available))[:, 1]
