"""Logistic regression on embeddings."""

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from clinical_symile.probes.probe import Encoders, Labelled, Shown, log_loss


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
        features, tuned = train.features(), tuning.features()
        fitted = [_fitted(strength, features, train.label) for strength in self._strengths]
        losses = [log_loss(tuning.label, one.predict_proba(tuned)[:, 1]) for one in fitted]
        return fitted[int(np.argmin(losses))].predict_proba(asked.features())[:, 1]


def _fitted(
    strength: float,
    features: Float[np.ndarray, "sample feature"],
    label: Int[np.ndarray, " sample"],
) -> Pipeline:
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
    with warnings.catch_warnings():
        # A probe that stopped early is still a probe: the tuning split judges it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return probe.fit(features, label)
