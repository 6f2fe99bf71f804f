"""Predict by logistic regression on labs as they were measured."""

import numpy as np
from jaxtyping import Float

from clinical_symile.evaluation.baselines.base import BaselineInputs, observed_columns
from clinical_symile.evaluation.predictors.base import Request
from clinical_symile.evaluation.probes._logistic_regression import best_regression
from clinical_symile.training.supervised import LabelledRows

_STRENGTHS = (0.001, 0.01, 0.1, 1.0)


class LabsLogistic:
    """Logistic regression on every value of the tabular modalities.

    A missing value is replaced by the median of the training samples, and an indicator marks it.
    """

    display_name = "labs, logistic"
    needs = ("a tabular modality",)

    description = "Logistic regression on the labs as they were measured."
    learns_from_all = False

    def predict(self, inputs: BaselineInputs) -> Float[np.ndarray, " sample"]:
        """Predict the outcome; see `Baseline`.

        Raises:
            CannotScore: no training sample has any value.
        """
        train, tuning = inputs.train, inputs.tuning
        values = inputs.tabular(train)
        observed = observed_columns(values)
        medians = np.nanmedian(values[:, observed], axis=0)

        def features(samples: LabelledRows | Request) -> Float[np.ndarray, "sample feature"]:
            values = inputs.tabular(samples)[:, observed]
            missing = np.isnan(values)
            return np.concatenate([np.where(missing, medians, values), missing], axis=1)

        fitted = best_regression(
            features(train), train.label, features(tuning), tuning.label, strengths=_STRENGTHS
        )
        return fitted.predict_proba(features(inputs.request))[:, 1]
