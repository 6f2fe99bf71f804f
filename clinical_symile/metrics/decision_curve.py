"""Compute the net benefit of acting on predicted risks at each threshold (decision curves).

A decision to treat from a risk of t on means that 1 / t - 1 unnecessary treatments weigh as much
as one missed case. Net benefit counts true positives minus false positives with that weight, per
sample:

NB(t) = TP / n - FP / n · t / (1 - t).

A model is useful at t if it exceeds both treating everyone and treating no one (0).

Source: Vickers and Elkin, "Decision curve analysis: a novel method for evaluating prediction
models", Medical Decision Making 26, 2006. https://doi.org/10.1177/0272989X06295361
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Real

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))


def net_benefit(
    weights: Real[np.ndarray, "resample sample"],
    label: Int[np.ndarray, " sample"],
    probability: Float[np.ndarray, " sample"],
    *,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Float[np.ndarray, "resample threshold"]:
    """Compute the net benefit of acting on the probabilities, for each row of weights.

    Raises:
        ValueError: a threshold is not above 0 and below 1.
    """
    t = _checked(thresholds)
    acted = probability[:, None] >= t
    worth = label[:, None] - (1 - label[:, None]) * t / (1 - t)
    return weights @ (acted * worth) / weights.sum(axis=1, keepdims=True)


def treat_all(
    weights: Real[np.ndarray, "resample sample"],
    label: Int[np.ndarray, " sample"],
    *,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Float[np.ndarray, "resample threshold"]:
    """Compute the net benefit of acting on everyone."""
    return net_benefit(weights, label, np.ones(len(label)), thresholds=thresholds)


def _checked(thresholds: Sequence[float]) -> Float[np.ndarray, " threshold"]:
    t = np.asarray(thresholds, dtype=float)
    if not ((t > 0) & (t < 1)).all():
        raise ValueError("a threshold is outside 0 … 1; expected risks above 0 and below 1.")
    return t
