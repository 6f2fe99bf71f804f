"""Predict from which measurements are available, without any value."""

import numpy as np
from jaxtyping import Float

from clinical_symile.evaluation.baselines.base import BaselineInputs
from clinical_symile.evaluation.predictors.base import Request
from clinical_symile.evaluation.probes._logistic_regression import best_regression
from clinical_symile.training.supervised import LabelledRows

_STRENGTHS = (0.001, 0.01, 0.1, 1.0)


class MaskOnly:
    """Logistic regression on which modalities, and which values of tabular ones, are available.

    It uses who was measured, not what was found. A model that is no better may have learned nothing
    else.
    """

    display_name = "missingness mask only"

    description = "Which measurements are available, and no value of any."
    learns_from_all = False

    def predict(self, inputs: BaselineInputs) -> Float[np.ndarray, " sample"]:
        """Predict the outcome; see `Baseline`."""

        def features(samples: LabelledRows | Request) -> Float[np.ndarray, "sample feature"]:
            observed = ~np.isnan(inputs.tabular(samples))
            return np.concatenate([samples.available, observed], axis=1, dtype=np.float64)

        train, tuning = inputs.train, inputs.tuning
        fitted = best_regression(
            features(train), train.label, features(tuning), tuning.label, strengths=_STRENGTHS
        )
        return fitted.predict_proba(features(inputs.request))[:, 1]
