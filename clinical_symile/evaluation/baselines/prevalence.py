"""Predict the same risk for every sample: the prevalence among training samples."""

import numpy as np
from jaxtyping import Float

from clinical_symile.evaluation.baselines.base import BaselineInputs


class Prevalence:
    """The share of training samples with the outcome."""

    display_name = "prevalence"

    description = "The same risk for every sample: the prevalence of the outcome in training."
    learns_from_all = False

    def predict(self, inputs: BaselineInputs) -> Float[np.ndarray, " sample"]:
        """Predict the prevalence for every sample; see `Baseline`."""
        return np.full(len(inputs.request.rows), inputs.train.label.mean())
