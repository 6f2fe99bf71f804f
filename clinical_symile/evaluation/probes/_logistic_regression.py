"""Fit logistic regressions and choose the regularization strength on other samples."""

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler


def log_loss(label: Int[np.ndarray, " sample"], probability: Float[np.ndarray, " sample"]) -> float:
    """Return the mean negative log likelihood.

    Probabilities are clipped to a rounding error from 0 and 1.
    """
    kept = np.clip(probability, np.finfo(float).eps, 1 - np.finfo(float).eps)
    return float(-np.log(np.where(label == 1, kept, 1 - kept)).mean())


def best_regression(
    features: Float[np.ndarray, "sample feature"],
    label: Int[np.ndarray, " sample"],
    tuning: Float[np.ndarray, "tuning feature"],
    tuning_label: Int[np.ndarray, " tuning"],
    *,
    strengths: Sequence[float],
) -> Pipeline:
    """Fit one regression for each strength and return that with the lowest log loss on `tuning`.

    Args:
        features: of the training samples; they are standardized.
        label: of the training samples, of both classes.
        tuning: features of the samples to choose by.
        tuning_label: their labels.
        strengths: inverse regularization strengths.
    """
    fitted = [_fit(strength, features, label) for strength in strengths]
    losses = [log_loss(tuning_label, one.predict_proba(tuning)[:, 1]) for one in fitted]
    return fitted[int(np.argmin(losses))]


def _fit(
    strength: float,
    features: Float[np.ndarray, "sample feature"],
    label: Int[np.ndarray, " sample"],
) -> Pipeline:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
    with warnings.catch_warnings():
        # A fit that stopped early is a candidate too; the tuning samples judge it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(features, label)
