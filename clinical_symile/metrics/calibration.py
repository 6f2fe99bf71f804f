"""Measure the calibration of predicted risks, from labels (0 or 1) and probabilities.

Of a hundred patients with a predicted risk of 0.2, about twenty should have the outcome.
Discrimination (AUROC) does not measure this.

Sources: Cox, "Two further applications of a model for binary regression", Biometrika 45, 1958
(slope and intercept). Van Calster et al., "Calibration: the Achilles heel of predictive analytics",
BMC Medicine 17, 2019, https://doi.org/10.1186/s12916-019-1466-7. Dimitriadis, Gneiting and Jordan,
"Stable reliability diagrams for probabilistic classifiers", PNAS 118, 2021,
https://doi.org/10.1073/pnas.2016191118 (the decomposition).
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Real
from scipy.optimize import isotonic_regression  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from scipy.special import expit, logit  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

_Labels = Int[np.ndarray, " sample"]
_Probabilities = Float[np.ndarray, " sample"]

_BINS = 10
# Log odds of 0 and 1 are infinite; predictions are clipped here.
_SMALLEST_RISK = 1e-6
_STEPS, _CONVERGED = 50, 1e-10
# A larger slope diverges: the probabilities separate the labels.
_STEEPEST = 1e3


class Decomposition(NamedTuple):
    """Three parts of the Brier score: brier = miscalibration - discrimination + uncertainty.

    Attributes:
        miscalibration: the loss from miscalibrated probabilities; 0 is best.
        discrimination: the gain from separating samples; higher is better.
        uncertainty: prevalence times one minus prevalence: the score of the prevalence as risk.
    """

    miscalibration: float
    discrimination: float
    uncertainty: float


def curve_bins(probability: _Probabilities, *, bins: int = _BINS) -> Int[np.ndarray, " sample"]:
    """Return each sample's bin of a calibration curve, from 0; bins have about equal size.

    Equal probabilities share a bin, so there may be fewer bins.
    """
    order = np.sort(probability)
    edges = order[(np.arange(1, bins) * len(order)) // bins]
    return np.unique(np.searchsorted(edges, probability, side="right"), return_inverse=True)[1]


def decomposition(label: _Labels, probability: _Probabilities) -> Decomposition:
    """Compute the parts of the Brier score, by the best monotone recalibration of these samples.

    With B(·) the Brier score, p̂ the isotonic regression of the labels on the probabilities and ȳ
    the prevalence: miscalibration = B(p) - B(p̂), discrimination = B(ȳ) - B(p̂), uncertainty = B(ȳ).
    There are no bins. With few samples miscalibration is biased upwards, because p̂ is fitted here.
    """
    one = np.ones((1, len(label)))
    return Decomposition(*weighted_decomposition(one, label, probability)[0].tolist())


def weighted_decomposition(
    weights: Real[np.ndarray, "resample sample"], label: _Labels, probability: _Probabilities
) -> Float[np.ndarray, "resample 3"]:
    """Compute the parts of `decomposition`, in its order, for each row of weights."""
    distinct, place = np.unique(probability, return_inverse=True)
    order = np.argsort(place, kind="stable")
    first = np.searchsorted(place[order], np.arange(len(distinct)))
    counts = np.add.reduceat(weights[:, order].astype(float), first, axis=1)
    positive = np.add.reduceat((weights * label)[:, order].astype(float), first, axis=1)
    total = counts.sum(axis=1)
    fitted = np.zeros_like(counts)
    for row, (held, with_outcome) in enumerate(zip(counts, positive, strict=True)):
        there = held > 0
        means = with_outcome[there] / held[there]
        fit: Any = isotonic_regression(means, weights=held[there])
        fitted[row, there] = fit.x
    prevalence = (positive.sum(axis=1) / total)[:, None]
    score, mended, base = (
        (counts * guess**2 - 2 * positive * guess + positive).sum(axis=1) / total
        for guess in (distinct, fitted, prevalence)
    )
    return np.stack([score - mended, base - mended, base], axis=1)


def slope_and_intercept(
    weights: Real[np.ndarray, "resample sample"], label: _Labels, probability: _Probabilities
) -> Float[np.ndarray, "resample 2"]:
    """Fit the logistic regression of the label on the log odds: slope and intercept.

    1 and 0 are perfect. A slope below 1 means that risks are too extreme, as those of an overfitted
    model. NaN where there is no solution: one class, one probability, or separated classes.

    Args:
        weights: of each sample, one fit for each row.
        label: 0 or 1.
        probability: predicted.
    """
    x = logit(np.clip(probability, _SMALLEST_RISK, 1 - _SMALLEST_RISK))
    total = weights.sum(axis=1)
    prevalence = weights @ label / np.maximum(total, 1)
    mean = weights @ x / np.maximum(total, 1)
    spread = weights @ x**2 / np.maximum(total, 1) - mean**2
    solvable = (prevalence > 0) & (prevalence < 1) & (spread > _CONVERGED)
    found = np.full((len(weights), 2), np.nan)
    if solvable.any():
        found[solvable] = _newton(weights[solvable], label, x)
    return found


def calibration_in_the_large(
    weights: Real[np.ndarray, "resample sample"], label: _Labels, probability: _Probabilities
) -> Float[np.ndarray, " resample"]:
    """Compute observed minus predicted frequency: above 0, risks are too low on average."""
    return weights @ (label - probability) / weights.sum(axis=1)


def recalibrate(
    label: _Labels, probability: _Probabilities, *, other: Float[np.ndarray, " other"]
) -> Float[np.ndarray, " other"]:
    """Recalibrate other probabilities by a logistic fit on these samples.

    The recalibrated log odds are intercept + slope · log odds. The order of probabilities, and so
    AUROC, does not change unless the slope is negative.

    Raises:
        ValueError: the fit has no solution: one class, one probability, or separated classes.
    """
    slope, intercept = slope_and_intercept(np.ones((1, len(label))), label, probability)[0]
    if np.isnan(slope):
        raise ValueError(
            "probabilities cannot be recalibrated on samples of one class, with one probability, "
            "or with separated classes; expected some overlap. Use more tuning samples."
        )
    return expit(intercept + slope * logit(np.clip(other, _SMALLEST_RISK, 1 - _SMALLEST_RISK)))


def _newton(
    weights: Real[np.ndarray, "resample sample"],
    label: _Labels,
    x: Float[np.ndarray, " sample"],
) -> Float[np.ndarray, "resample 2"]:
    """Fit many logistic regressions of one variable at once by Newton's method."""
    centre, scale = x.mean(), x.std() or 1.0
    z = (x - centre) / scale
    slope, intercept = np.zeros(len(weights)), logit(weights @ label / weights.sum(axis=1))
    settled = np.zeros(len(weights), dtype=bool)
    for _ in range(_STEPS):
        risk = expit(intercept[:, None] + slope[:, None] * z)
        missed, spread = weights * (label - risk), weights * risk * (1 - risk)
        a, b = missed.sum(axis=1), missed @ z
        p, q, r = spread.sum(axis=1), spread @ z, spread @ z**2
        determinant = p * r - q * q
        with np.errstate(divide="ignore", invalid="ignore"):
            by_intercept, by_slope = (r * a - q * b) / determinant, (p * b - q * a) / determinant
        step = np.maximum(np.abs(by_intercept), np.abs(by_slope))
        lost = ~np.isfinite(step) | (np.abs(slope) > _STEEPEST)
        # A long step may overshoot and is shortened.
        shorter = np.where(lost, 0.0, np.minimum(1.0, 4.0 / np.maximum(step, 1e-300)))
        intercept = intercept + shorter * np.where(lost, 0.0, by_intercept)
        slope = slope + shorter * np.where(lost, 0.0, by_slope)
        settled = ~lost & (step < _CONVERGED)
        if (settled | lost).all():
            break
    found = np.stack([slope / scale, intercept - slope * centre / scale], axis=1)
    return np.where(settled[:, None], found, np.nan)
