"""Measure the calibration of predicted risks, from labels (0 or 1) and probabilities.

Of a hundred patients with a predicted risk of 0.2, about twenty should have the outcome.
Discrimination (AUROC) does not measure this.

Sources: Cox, "Two further applications of a model for binary regression", Biometrika 45, 1958
(slope and intercept). Van Calster et al., "Calibration: the Achilles heel of predictive analytics",
BMC Medicine 17, 2019, https://doi.org/10.1186/s12916-019-1466-7. Dimitriadis, Gneiting and Jordan,
"Stable reliability diagrams for probabilistic classifiers", PNAS 118, 2021,
https://doi.org/10.1073/pnas.2016191118 (the decomposition).
"""

import math
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Real
from scipy.optimize import isotonic_regression  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from scipy.special import expit, logit  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from clinical_symile.metrics.risk_blocks import RiskBlocks

_Labels = Int[np.ndarray, " sample"]
_Probabilities = Float[np.ndarray, " sample"]
# Maps weights to several numbers for each row.
_OfWeights = Callable[[Real[np.ndarray, "resample sample"]], Float[np.ndarray, "resample number"]]

_BINS = 10
# Log odds of 0 and 1 are infinite; predictions are clipped here.
_SMALLEST_RISK = 1e-6
_STEPS, _CONVERGED = 50, 1e-10
_ORDERS, _EXPANDED_STEPS = 4, 8
# An error of a slope that does not matter beside its spread over resamples.
_NEGLIGIBLE = 1e-7
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
    return prepare_decomposition(label, probability)(weights)


def prepare_decomposition(label: _Labels, probability: _Probabilities) -> _OfWeights:
    """Return `weighted_decomposition` of these samples, which are sorted once."""
    # Neighbours share a fitted value if their frequencies fall whatever the weights are: where the
    # first are all positives, or the second all negatives.
    blocks = RiskBlocks.of(
        label, probability, lambda negative, positive: positive[:-1] | negative[1:]
    )
    return partial(_decompositions, blocks=blocks, errors=(probability - label) ** 2)


def _decompositions(
    weights: Real[np.ndarray, "resample sample"],
    *,
    blocks: RiskBlocks,
    errors: Float[np.ndarray, " sample"],
) -> Float[np.ndarray, "resample 3"]:
    positives, negatives = blocks.held(weights)
    parts = np.empty((len(weights), 3))
    totals = weights.sum(axis=1).astype(np.float64)
    rows = zip(positives, positives + negatives, weights @ errors / totals, totals, strict=True)
    for row, (positive, drawn, score, total) in enumerate(rows):
        there = drawn > 0
        positive, drawn = positive[there], drawn[there]
        events = positive.sum()
        fit: Any = isotonic_regression(positive / drawn, weights=drawn)
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
        weights: the weight of each sample, one fit for each row.
        label: 0 or 1.
        probability: predicted.
    """
    return prepare_slopes(label, probability)(weights)


def prepare_slopes(label: _Labels, probability: _Probabilities) -> _OfWeights:
    """Return `slope_and_intercept` of these samples; what all rows share is computed once."""
    return _Slopes(label, logit(np.clip(probability, _SMALLEST_RISK, 1 - _SMALLEST_RISK)))


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


class _Slopes:
    """Fit many logistic regressions of one variable to the same samples.

    Resamples lie close to the whole sample. Their likelihood equations are expanded about its fit,
    and the expansion is solved instead of the equations. Where its error may be too large, Newton's
    method goes on from there, and else from the prevalence. Rows are fitted some at a time, so that
    the numbers of a step stay in the processor's cache.
    """

    def __init__(self, label: _Labels, x: Float[np.ndarray, " sample"]) -> None:
        self.label, self.x = label, x
        self.centre, self.scale = x.mean(), x.std() or 1.0
        self.z = (x - self.centre) / self.scale

    def __call__(
        self, weights: Real[np.ndarray, "resample sample"]
    ) -> Float[np.ndarray, "resample 2"]:
        weights = np.asarray(weights, dtype=np.float64)  # products of integers are slow
        total = np.maximum(weights.sum(axis=1), 1)
        prevalence = weights @ self.label.astype(np.float64) / total
        spread = weights @ self.x**2 / total - (weights @ self.x / total) ** 2
        solvable = (prevalence > 0) & (prevalence < 1) & (spread > _CONVERGED)
        if solvable.all():
            return self._fits(weights)
        found = np.full((len(weights), 2), np.nan)
        if solvable.any():
            found[solvable] = self._fits(weights[solvable])
        return found

    @cached_property
    def _near(self) -> Float[np.ndarray, " two"]:
        """The fit to the samples themselves; NaN where there is none."""
        whole = np.ones((1, len(self.z)))
        if not 0 < self.label.mean() < 1:
            return np.full(2, np.nan)
        return _newton(whole, self.label, self.z, _at_prevalence(whole, self.label))[0]

    @cached_property
    def _terms(self) -> Float[np.ndarray, "sample column"]:
        return _expansion(self.label, self.z, self._near)

    def _fits(self, weights: Float[np.ndarray, "resample sample"]) -> np.ndarray:
        label, z = self.label, self.z
        found = np.full((len(weights), 2), np.nan)
        due = np.ones(len(weights), dtype=bool)
        if len(weights) > 1 and not np.isnan(self._near).any():
            change, is_exact = _solve_expansion(weights @ self._terms / len(z))
            found, due = self._near + change, ~is_exact
        at_once = max(1, _CACHED // max(len(z), 1))
        places = np.flatnonzero(due)
        for start in range(0, len(places), at_once):
            some = places[start : start + at_once]
            held, known = weights[some], ~np.isnan(found[some, 0])
            fit = np.full((len(some), 2), np.nan)
            if known.any():
                fit[known] = _newton(held[known], label, z, found[some[known]])
            lost = np.isnan(fit[:, 0])
            if lost.any():
                fit[lost] = _newton(held[lost], label, z, _at_prevalence(held[lost], label))
            found[some] = fit
        intercept, slope = found.T
        return np.stack([slope / self.scale, intercept - slope * self.centre / self.scale], axis=1)


def _expansion(
    label: _Labels, z: Float[np.ndarray, " sample"], near: Float[np.ndarray, " two"]
) -> Float[np.ndarray, "sample column"]:
    """Return each sample's coefficients of its likelihood equations, expanded about a fit.

    With d = a + b z the change of the log odds, the risk is expanded to the fourth power of d. Sums
    of the coefficients are linear in the weights, so that all rows need one product of matrices.

    Args:
        label: 0 or 1.
        z: the variable, centred and scaled.
        near: intercept and slope of the fit.
    """
    p = expit(near[0] + near[1] * z)
    v, odd = p * (1 - p), 1 - 2 * p
    derivatives = [v, v * odd, v * (1 - 6 * v), v * odd * (1 - 12 * v)]
    columns = [label - p, (label - p) * z]
    for order, derivative in enumerate(derivatives, start=1):
        term = derivative / math.factorial(order)
        columns += [term * z**power for power in range(order + 2)]
    columns.append((1 + np.abs(z)) ** (_ORDERS + 1))
    return np.stack(columns, axis=1)


def _solve_expansion(
    sums: Float[np.ndarray, "resample column"],
) -> tuple[Float[np.ndarray, "resample 2"], Bool[np.ndarray, " resample"]]:
    """Solve expanded likelihood equations.

    The fifth derivative of the logistic function is at most 1/4, which bounds the error.

    Returns:
        The change of intercept and slope, NaN where the expansion has no solution near; and whether
        their error is negligible.
    """
    change, step = np.zeros((len(sums), 2)), np.full((len(sums), 2), np.inf)
    with np.errstate(all="ignore"):
        for _ in range(_EXPANDED_STEPS):
            (one, other), (p, q, r) = _polynomial(sums, change)
            step = np.stack([r * one - q * other, p * other - q * one], axis=1)
            step /= (p * r - q * q)[:, None]
            change += step
        far = np.abs(change).max(axis=1)
        p, q, r = sums[:, 2:5].T
        smallest = (p * r - q * q) / (p + r)  # at most the smaller eigenvalue
        error = far ** (_ORDERS + 1) * sums[:, -1] / (4 * math.factorial(_ORDERS + 1) * smallest)
        is_near = (np.abs(step).max(axis=1) < _CONVERGED) & (far < 1)
    return np.where(is_near[:, None], change, np.nan), is_near & (error < _NEGLIGIBLE)


def _polynomial(
    sums: Float[np.ndarray, "resample column"], change: Float[np.ndarray, "resample 2"]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return both expanded equations at a change, and their three derivatives."""
    a, b = change.T
    residual, slopes = [sums[:, 0].copy(), sums[:, 1].copy()], [np.zeros_like(a) for _ in range(3)]
    start = 2
    for order in range(1, _ORDERS + 1):
        for power in range(order + 1):
            of_both = math.comb(order, power) * a ** (order - power) * b**power
            for place in (0, 1):
                residual[place] -= of_both * sums[:, start + power + place]
        for power in range(order):
            of_both = order * math.comb(order - 1, power) * a ** (order - 1 - power) * b**power
            for place in (0, 1, 2):
                slopes[place] += of_both * sums[:, start + power + place]
        start += order + 2
    return residual, slopes


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
        weights: the weight of each sample, one fit for each row.
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
