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
# Numbers of a step of several fits that are computed together.
_CACHED = 2**17
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
    order = np.argsort(probability, kind="stable")
    ordered, labels = probability[order], label[order]
    first = np.flatnonzero(np.diff(ordered, prepend=-1.0))
    parts = np.empty((len(weights), 3))
    for row, held in enumerate(weights):
        drawn = held[order].astype(np.float64)
        positive = drawn * labels
        if len(first) < len(ordered):
            drawn, positive = np.add.reduceat(drawn, first), np.add.reduceat(positive, first)
        there = drawn > 0
        risk = ordered[first][there] if len(first) < len(ordered) else ordered[there]
        drawn, positive = drawn[there], positive[there]
        total, events = drawn.sum(), positive.sum()
        fit: Any = isotonic_regression(positive / drawn, weights=drawn)
        score = (drawn @ risk**2 - 2 * (positive @ risk) + events) / total
        # Over each block of equal fitted values, the fit is the share of positives.
        mended = (events - positive @ fit.x) / total
        base = events / total * (1 - events / total)
        parts[row] = score - mended, base - mended, base
    return parts


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
    weights = np.asarray(weights, dtype=np.float64)  # products of integers are slow
    total = weights.sum(axis=1)
    prevalence = weights @ label.astype(np.float64) / np.maximum(total, 1)
    mean = weights @ x / np.maximum(total, 1)
    spread = weights @ x**2 / np.maximum(total, 1) - mean**2
    solvable = (prevalence > 0) & (prevalence < 1) & (spread > _CONVERGED)
    found = np.full((len(weights), 2), np.nan)
    if solvable.any():
        found[solvable] = _fits(weights[solvable], label, x)
    return found


def calibration_in_the_large(
    weights: Real[np.ndarray, "resample sample"], label: _Labels, probability: _Probabilities
) -> Float[np.ndarray, " resample"]:
    """Compute observed minus predicted frequency: above 0, risks are too low on average."""
    return np.asarray(weights, dtype=np.float64) @ (label - probability) / weights.sum(axis=1)


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


def _fits(
    weights: Real[np.ndarray, "resample sample"],
    label: _Labels,
    x: Float[np.ndarray, " sample"],
) -> Float[np.ndarray, "resample 2"]:
    """Fit many logistic regressions of one variable by Newton's method.

    Resamples lie close to the whole sample, so that its fit is a start from which a few steps
    suffice. A fit that does not settle from there begins again from the prevalence. Rows are fitted
    some at a time, so that the numbers of a step stay in the processor's cache.
    """
    centre, scale = x.mean(), x.std() or 1.0
    z = (x - centre) / scale
    whole = np.ones((1, len(z)))
    near = _newton(whole, label, z, _at_prevalence(whole, label)) if len(weights) > 1 else None
    at_once = max(1, _CACHED // max(len(z), 1))
    parts: list[Float[np.ndarray, "resample two"]] = []
    for start in range(0, len(weights), at_once):
        some = weights[start : start + at_once].astype(np.float64)
        found = np.full((len(some), 2), np.nan)
        if near is not None and not np.isnan(near).any():
            found = _newton(some, label, z, np.repeat(near, len(some), axis=0))
        lost = np.isnan(found[:, 0])
        if lost.any():
            found[lost] = _newton(some[lost], label, z, _at_prevalence(some[lost], label))
        parts.append(found)
    intercept, slope = np.concatenate(parts).T
    return np.stack([slope / scale, intercept - slope * centre / scale], axis=1)


def _at_prevalence(
    weights: Float[np.ndarray, "resample sample"], label: _Labels
) -> Float[np.ndarray, "resample 2"]:
    """Return the start of a fit: the log odds of the prevalence, and a slope of 0."""
    intercept = logit(weights @ label / weights.sum(axis=1))
    return np.stack([intercept, np.zeros(len(weights))], axis=1)


def _newton(
    weights: Float[np.ndarray, "resample sample"],
    label: _Labels,
    z: Float[np.ndarray, " sample"],
    start: Float[np.ndarray, "resample 2"],
) -> Float[np.ndarray, "resample 2"]:
    """Fit intercept and slope of each row of weights; NaN where Newton's method does not settle.

    Args:
        weights: of each sample, one fit for each row.
        label: 0 or 1.
        z: the variable, centred and scaled.
        start: intercept and slope to begin from.
    """
    powers = np.stack([np.ones_like(z), z, z**2], axis=1)
    observed = weights @ (label[:, None] * powers[:, :2])
    intercept, slope = start.T.copy()
    settled = np.zeros(len(weights), dtype=bool)
    due = np.arange(len(weights))
    for _ in range(_STEPS):
        held = weights[due] if len(due) < len(weights) else weights
        risk = intercept[due, None] + slope[due, None] * z
        expit(risk, out=risk)
        expected = held * risk
        a, b = (observed[due] - expected @ powers[:, :2]).T
        np.subtract(1.0, risk, out=risk)
        expected *= risk
        p, q, r = (expected @ powers).T
        determinant = p * r - q * q
        with np.errstate(divide="ignore", invalid="ignore"):
            by_intercept, by_slope = (r * a - q * b) / determinant, (p * b - q * a) / determinant
        step = np.maximum(np.abs(by_intercept), np.abs(by_slope))
        lost = ~np.isfinite(step) | (np.abs(slope[due]) > _STEEPEST)
        # A long step may overshoot and is shortened.
        shorter = np.where(lost, 0.0, np.minimum(1.0, 4.0 / np.maximum(step, 1e-300)))
        intercept[due] += shorter * np.where(lost, 0.0, by_intercept)
        slope[due] += shorter * np.where(lost, 0.0, by_slope)
        settled[due] = ~lost & (step < _CONVERGED)
        due = due[~lost & ~settled[due]]
        if not len(due):
            break
    return np.where(settled[:, None], np.stack([intercept, slope], axis=1), np.nan)
