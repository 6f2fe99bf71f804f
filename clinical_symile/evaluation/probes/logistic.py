"""Logistic regression on embeddings."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from clinical_symile.evaluation.probes._logistic_regression import chosen_regression
from clinical_symile.evaluation.probes.base import Encoders, Labelled, Shown


class Logistic:
    """Logistic regression on the embeddings that are seen, and which are.

    Args:
        strengths: inverse regularisation strengths; the one with the lowest log loss on tuning
            samples is taken.
    """

    def __init__(self, *, strengths: Sequence[float]):
        if not strengths or min(strengths) <= 0:
            raise ValueError(f"strengths are {list(strengths)}; expected numbers above 0.")
        self._strengths = strengths

    def predict(
        self,
        train: Labelled,
        tuning: Labelled,
        asked: Shown,
        *,
        encoders: Encoders | None,
        seed: int,
    ) -> Float[np.ndarray, " sample"]:
        """See `Probe`."""
        fitted = chosen_regression(
            train.features(),
            train.label,
            tuning.features(),
            tuning.label,
            strengths=self._strengths,
        )
        return fitted.predict_proba(asked.features())[:, 1]
