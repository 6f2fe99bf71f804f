"""Hide modalities so that every sample keeps at least one, at exact rates and the usual slope.

Entries are first hidden independently, with probability p_m = 1 / (1 + exp(-(a_m + b_m x_m))). A
sample that would lose all M entries keeps one of them, entry m with probability

    w_m = (1 - p_m) / p_m / Σ_k (1 - p_k) / p_k,

as if one drew until exactly one entry is kept. Entry m is then hidden with probability

    q_m = p_m - w_m Π_k p_k.

The rule weakens the dependence on x. Intercepts a and slopes b are therefore solved for. The mean
of q_m is then the rate, and a logistic regression of hiding on x_m has the slope SLOPE. Not all
rates allow this: at high rates most samples keep exactly one entry, whatever x is.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import brentq, least_squares  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from scipy.special import expit, logit, softmax  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from clinical_symile.missingness.mechanisms import SLOPE

_RATE_TOLERANCE, _SLOPE_TOLERANCE = 0.002, 0.02
_HIGHEST_INTERCEPT, _HIGHEST_SLOPE = 30.0, 20.0
_ROUNDS, _HALVINGS = 3, 18
# Rows that intercepts and slopes are solved on, and evaluations of the equations.
_ROWS_SOLVED, _EVALUATIONS = 4096, 60


class UnreachableError(ValueError):
    """No intercepts and slopes give the rates and the slope under the rule."""


def draw_at_least_one(
    draws: Float[np.ndarray, "sample column"],
    kept_draws: Float[np.ndarray, "sample column"],
    covariates: Float[np.ndarray, "sample column"],
    *,
    rates: Float[np.ndarray, " column"],
) -> Bool[np.ndarray, "sample column"]:
    """Draw hidden entries of complete samples so that each sample keeps one.

    Args:
        draws: uniform numbers that decide what is hidden first.
        kept_draws: uniform numbers that decide what a sample with nothing left keeps.
        covariates: x of each entry; 0 for MCAR.
        rates: the share of each column to hide.

    Raises:
        UnreachableError: see `solve`.
    """
    if (rates == 0).any():
        raise ValueError("a column with rate 0 is always kept; expected rates above 0.")
    intercepts, slopes = solve(covariates, rates)

    def hidden(intercepts: Float[np.ndarray, " column"]) -> Bool[np.ndarray, "sample column"]:
        log_odds = intercepts + slopes * covariates
        found = draws < expit(log_odds)
        empty = np.flatnonzero(found.all(axis=1))
        # The largest of log w plus a Gumbel variable has the distribution w.
        race = -log_odds[empty] - np.log(-np.log(kept_draws[empty]))
        found[empty, race.argmax(axis=1)] = False
        return found

    return hidden(_exact_intercepts(hidden, intercepts, rates))


def solve(
    covariates: Float[np.ndarray, "sample column"], rates: Float[np.ndarray, " column"]
) -> tuple[Float[np.ndarray, " column"], Float[np.ndarray, " column"]]:
    """Solve for the intercept and the slope of each column under the rule.

    Raises:
        UnreachableError: there are none; the message has the reachable range.
    """
    covariates = _representative(covariates)
    solution = _solve(covariates, rates)
    if solution is not None:
        return solution
    factor = _reachable_factor(covariates, rates)
    equal = np.allclose(rates, rates[0])
    limit = (
        f"rates up to {100 * rates[0] * factor:.0f} %"
        if equal
        else f"{100 * factor:.0f} % of these rates"
    )
    raise UnreachableError(
        f"a slope of {SLOPE} cannot be reached at rates of "
        f"{', '.join(f'{100 * rate:.0f} %' for rate in rates)} if every sample keeps one of "
        f"{len(rates)} modalities; reachable are {limit}"
    )


def hiding_probabilities(
    covariates: Float[np.ndarray, "sample column"],
    intercepts: Float[np.ndarray, " column"],
    slopes: Float[np.ndarray, " column"],
) -> Float[np.ndarray, "sample column"]:
    """Return the probability q of each entry to be hidden under the rule."""
    log_odds = intercepts + slopes * covariates
    p = expit(log_odds)
    return p - softmax(-log_odds, axis=1) * p.prod(axis=1, keepdims=True)


def _solve(
    covariates: Float[np.ndarray, "sample column"], rates: Float[np.ndarray, " column"]
) -> tuple[Float[np.ndarray, " column"], Float[np.ndarray, " column"]] | None:
    """Solve for intercepts and slopes; return None if there are none."""
    columns = len(rates)
    depends = bool(np.any(covariates))
    covariates = covariates if depends else covariates[:1]
    targets = np.array(
        [_target_moment(x, rate) for x, rate in zip(covariates.T, rates, strict=True)]
    )

    def residuals(unknown: Float[np.ndarray, " unknown"]) -> Float[np.ndarray, " equation"]:
        slopes = unknown[columns:] if depends else np.zeros(columns)
        q = hiding_probabilities(covariates, unknown[:columns], slopes)
        of_rates = q.mean(axis=0) - rates
        if not depends:
            return of_rates
        return np.append(of_rates, (covariates * q).mean(axis=0) - targets)

    start = np.append(logit(rates), np.full(columns if depends else 0, SLOPE))
    limits = np.append(
        np.full(columns, _HIGHEST_INTERCEPT), np.full(columns if depends else 0, _HIGHEST_SLOPE)
    )
    found: Any = least_squares(  # pyright: ignore[reportUnknownVariableType]
        residuals, start, bounds=(-limits, limits), xtol=1e-10, ftol=1e-10, max_nfev=_EVALUATIONS
    )
    error = np.abs(residuals(found.x))  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
    tolerances = np.append(
        np.full(columns, _RATE_TOLERANCE), np.abs(targets) * _SLOPE_TOLERANCE if depends else []
    )
    if (error > tolerances).any():
        return None
    return found.x[:columns], found.x[columns:] if depends else np.zeros(columns)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def _representative(
    covariates: Float[np.ndarray, "sample column"],
) -> Float[np.ndarray, "selected column"]:
    """Select at most `_ROWS_SOLVED` rows, evenly by rank, whatever the order of the rows."""
    if len(covariates) <= _ROWS_SOLVED:
        return covariates
    order = np.lexsort(covariates.T[::-1])
    return covariates[order[np.linspace(0, len(order) - 1, _ROWS_SOLVED).round().astype(int)]]


def _target_moment(x: Float[np.ndarray, " sample"], rate: float) -> float:
    """Return the mean of x times the hiding probability of a logistic model with slope SLOPE.

    A logistic regression of q on x has the slope SLOPE exactly if the means of q and of x q are
    those of this model.
    """

    def excess(intercept: float) -> float:
        return float(expit(intercept + SLOPE * x).mean() - rate)

    intercept: Any = brentq(excess, -_HIGHEST_INTERCEPT, _HIGHEST_INTERCEPT)  # pyright: ignore[reportUnknownVariableType]
    return float((x * expit(intercept + SLOPE * x)).mean())


def _reachable_factor(
    covariates: Float[np.ndarray, "sample column"], rates: Float[np.ndarray, " column"]
) -> float:
    """Return the largest factor, in whole percents, by which the rates can be multiplied."""
    low, high = 0, 100
    while high - low > 1:
        middle = (low + high) // 2
        if _solve(covariates, rates * middle / 100) is None:
            high = middle
        else:
            low = middle
    return low / 100


def _exact_intercepts(
    hidden: Callable[[Float[np.ndarray, " column"]], Bool[np.ndarray, "sample column"]],
    intercepts: Float[np.ndarray, " column"],
    rates: Float[np.ndarray, " column"],
) -> Float[np.ndarray, " column"]:
    """Adjust intercepts until the drawn share of each column is its rate."""
    intercepts = intercepts.copy()
    for _ in range(_ROUNDS):
        for column, rate in enumerate(rates):
            low, high = intercepts[column] - 3, intercepts[column] + 3
            for _ in range(_HALVINGS):
                intercepts[column] = (low + high) / 2
                if hidden(intercepts)[:, column].mean() < rate:
                    low = intercepts[column]
                else:
                    high = intercepts[column]
    return intercepts


def kept_columns(columns: Sequence[str]) -> list[str]:
    """Return the names of the draws that decide what a sample keeps; see `uniforms`."""
    return [f"{column}@kept" for column in columns]
