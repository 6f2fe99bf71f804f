"""Logistic regression whose strength is chosen on other samples."""

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

Features = Float[np.ndarray, "sample feature"]
Labels = Int[np.ndarray, " sample"]


def log_loss(label: Labels, probability: Float[np.ndarray, " sample"]) -> float:
    """Mean negative log likelihood; probabilities are kept a rounding error from 0 and 1."""
    kept = np.clip(probability, np.finfo(float).eps, 1 - np.finfo(float).eps)
    return float(-np.log(np.where(label == 1, kept, 1 - kept)).mean())


def chosen_regression(
    features: Features,
    label: Labels,
    tuning: Float[np.ndarray, "tuning feature"],
    tuning_label: Int[np.ndarray, " tuning"],
    *,
    strengths: Sequence[float],
) -> Pipeline:
    """The regression, of those with each strength, that has the lowest log loss on `tuning`.

    Args:
        features: of the samples to learn from; they are standardised.
        label: theirs, of both classes.
        tuning: of the samples to choose by.
        tuning_label: theirs.
        strengths: inverse regularisation strengths.
    """
    fitted = [_fitted(strength, features, label) for strength in strengths]
    losses = [log_loss(tuning_label, one.predict_proba(tuning)[:, 1]) for one in fitted]
    return fitted[int(np.argmin(losses))]


def _fitted(strength: float, features: Features, label: Labels) -> Pipeline:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
    with warnings.catch_warnings():
        # A fit that stopped early is still one: the tuning samples judge it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(features, label)
