"""Which measurements there are, without a look at any."""

import numpy as np
from jaxtyping import Bool, Float, Int

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.baselines.base import vectors
from clinical_symile.evaluation.probes._logistic_regression import chosen_regression
from clinical_symile.training.supervised import LabelledRows

STRENGTHS = (0.001, 0.01, 0.1, 1.0)


class MaskOnly:
    """Logistic regression on which modalities are seen, and which numbers of those that are lists.

    What it finds is told by who was measured, not by what was found. A model that is no better may
    have learned nothing else.
    """

    description = "Which measurements there are, and no value of any."
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

        def there(
            some: Int[np.ndarray, " sample"], shown: Bool[np.ndarray, "sample modality"]
        ) -> Float[np.ndarray, "sample feature"]:
            measured = ~np.isnan(vectors(store, some, shown, task.inputs))
            return np.concatenate([shown, measured], axis=1, dtype=np.float64)

        fitted = chosen_regression(
            there(train.rows, train.available),
            train.label,
            there(tuning.rows, tuning.available),
            tuning.label,
            strengths=STRENGTHS,
        )
        return fitted.predict_proba(there(rows, available))[:, 1]
