"""Draw hidden entries: missing completely at random, at random, or not at random.

A mechanism gives each sample and column a score, and hides the entries with the lowest scores. The
score is

    log(u / (1 - u)) - SLOPE · x,    u uniform on (0, 1).

For a threshold a, an entry is hidden with probability 1 / (1 + exp(-(a + SLOPE · x))): a logistic
model of missingness with intercept a. With x = 0 it is missing completely at random (MCAR). With a
covariate x that is always recorded it is missing at random (MAR). With x the hidden value itself,
or an outcome, it is missing not at random (MNAR). The intercept is solved for, so that the hidden
share is exact on the given samples, not only in expectation.

u depends on the seed, the sample's name and the column's name alone: not on the order of rows, on
other samples, or on the machine. Of two patterns with the same mechanism and seed, the one with
the higher rate hides nearly all that the other hides, so that curves over rates are paired.

Source: Rubin, "Inference and missing data", Biometrika 63, 1976, for the three kinds.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import root_scalar  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from scipy.special import logit, ndtri  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from scipy.stats import rankdata  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

# The log odds of being hidden per standard deviation of x: exp(1.5) is about 4.5.
SLOPE = 1.5

_ROUNDS = 4


def uniforms(
    seed: int, samples: Sequence[str], columns: Sequence[str]
) -> Float[np.ndarray, "sample column"]:
    """Return a uniform number in (0, 1) for each sample and column, from names and seed.

    >>> uniforms(0, ["100"], ["ecg"]).round(6)
    array([[0.641983]])
    """
    drawn = np.empty((len(samples), len(columns)))
    for place, column in enumerate(columns):
        start = hashlib.blake2b(f"{seed}/{column}/".encode(), digest_size=8)
        for row, sample in enumerate(samples):
            hashed = start.copy()
            hashed.update(sample.encode())
            drawn[row, place] = int.from_bytes(hashed.digest(), "big")
    return (np.floor(drawn / 2**12) + 0.5) / 2**52


def normal_scores(values: Float[np.ndarray, "*sample"]) -> Float[np.ndarray, "*sample"]:
    """Convert values to normal scores: quantiles of their ranks, with mean 0 and variance 1.

    An unknown value (NaN) is 0, the average. If all values are equal, all scores are 0.
    """
    scores, known = np.zeros(len(values)), ~np.isnan(values)
    if known.any():
        found = ndtri((rankdata(values[known]) - 0.5) / known.sum())
        spread = found.std()
        scores[known] = (found - found.mean()) / spread if spread else 0.0
    return scores


def draw_hidden(
    draws: Float[np.ndarray, "sample column"],
    covariates: Float[np.ndarray, "sample column"],
    *,
    present: Bool[np.ndarray, "sample column"],
    rate: float,
) -> Bool[np.ndarray, "sample column"]:
    """Draw hidden entries: the share `rate` of each column, but never all entries of a sample.

    Args:
        draws: uniform numbers, see `uniforms`.
        covariates: x of each entry; 0 for MCAR.
        present: True where there is an entry to hide.
        rate: the share of each column's present entries. If fewer can be hidden, because each
            sample keeps one, as many as possible are hidden.
    """
    place = _places(logit(draws) - SLOPE * covariates, present)
    lift = np.zeros(draws.shape[1])
    below = _solve(lambda b: _share(_below(place, present, b, lift), present) - rate, 0.0, 1.0)
    for _ in range(_ROUNDS):
        for column in range(draws.shape[1]):
            lift[column] = _solve(
                lambda one, c=column: (
                    rate
                    - _share(
                        _below(place, present, below, _with(lift, c, one))[:, [c]],
                        present[:, [c]],
                    )
                ),
                -1.0,
                1.0,
            )
    return _below(place, present, below, lift)


def _places(
    scores: Float[np.ndarray, "sample column"], present: Bool[np.ndarray, "sample column"]
) -> Float[np.ndarray, "sample column"]:
    """Return each score's rank among the present ones of its column, scaled to (0, 1)."""
    places = np.ones(scores.shape)
    for column in range(scores.shape[1]):
        there = present[:, column]
        places[there, column] = (rankdata(scores[there, column]) - 0.5) / max(there.sum(), 1)
    return places


def _below(
    place: Float[np.ndarray, "sample column"],
    present: Bool[np.ndarray, "sample column"],
    below: float,
    lift: Float[np.ndarray, " column"],
) -> Bool[np.ndarray, "sample column"]:
    """Return the present entries below a threshold; of a sample with none left, the highest stays.

    `lift` is added to find the highest entry of a sample. It lets every column reach its rate.
    """
    taken = present & (place < below)
    empty = np.flatnonzero((taken == present).all(axis=1) & present.any(axis=1))
    raised = np.where(present[empty], place[empty] + lift, -np.inf)
    taken[empty, raised.argmax(axis=1)] = False
    return taken


def _share(
    taken: Bool[np.ndarray, "sample column"], present: Bool[np.ndarray, "sample column"]
) -> float:
    return taken.sum() / max(present.sum(), 1)


def _with(
    lift: Float[np.ndarray, " column"], column: int, value: float
) -> Float[np.ndarray, " column"]:
    changed = lift.copy()
    changed[column] = value
    return changed


def _solve(excess: Callable[[float], float], low: float, high: float) -> float:
    """Find where a rising step function crosses zero; return the nearer end if it never does."""
    if excess(low) >= 0:
        return low
    if excess(high) <= 0:
        return high
    found = cast(Any, root_scalar)(excess, bracket=(low, high), method="bisect", xtol=1e-6)
    return float(found.root)
