"""Predict by logistic regression on embeddings."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from clinical_symile.evaluation.probes._logistic_regression import best_regression
from clinical_symile.evaluation.probes.base import ProbeInputs


class Logistic:
    """Logistic regression on the available embeddings, and on which are available.

    Args:
        strengths: inverse regularization strengths; the one with the lowest log loss on tuning
            samples is used.

    Raises:
        ValueError: a strength is not above 0.
    """

    display_name = "logistic regression"
    description = "Logistic regression on the available embeddings, and on which are available."

    def __init__(self, *, strengths: Sequence[float]):
        if not strengths or min(strengths) <= 0:
            raise ValueError(f"strengths are {list(strengths)}; expected numbers above 0.")
        self._strengths = strengths

    def predict(self, inputs: ProbeInputs) -> Float[np.ndarray, " sample"]:
        """Predict the outcome; see `Probe`."""
        train, tuning = inputs.train, inputs.tuning
        fitted = best_regression(
            train.features(),
            train.label,
            tuning.features(),
            tuning.label,
            strengths=self._strengths,
        )
        return fitted.predict_proba(inputs.samples.features())[:, 1]
