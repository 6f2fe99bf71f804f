"""Predict outcomes by a baseline, which needs no pretraining."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.baselines.base import Baseline, BaselineInputs
from clinical_symile.evaluation.labels import training_samples
from clinical_symile.evaluation.predictors.base import Request


@dataclass(frozen=True, repr=False)
class BaselinePredictor:
    """A baseline fitted anew for each request.

    Attributes:
        baseline: predicts.
        store: the cohort; gives labels and measurements.
        pretraining: the task whose encoders a baseline that trains any may use.
    """

    baseline: Baseline
    store: CohortStore
    pretraining: Pretraining

    def predict_proba(self, request: Request[Classification]) -> Float[np.ndarray, " sample"]:
        """Predict the probability of the outcome for each sample.

        Raises:
            CannotScore: there are too few labels, or the baseline cannot predict.
        """
        train, tuning = training_samples(request.task, self.store, request.pattern)
        return self.baseline.predict(
            BaselineInputs(train, tuning, request, self.store, self.pretraining)
        )
