"""How what goes missing is drawn: completely at random, at random, or not at random.

A mechanism is a score for each sample and column: what scores lowest is hidden. The score is

    log(u / (1 - u)) - pull · x,    u uniform on (0, 1),

so that for a threshold a the chance to be hidden is 1 / (1 + exp(-(a + pull · x))): a logistic
model of missingness with intercept a. With x = 0 it is completely at random (MCAR); with x a
covariate that is always observed, at random (MAR); with x of the hidden value itself, or of an
outcome, not at random (MNAR). The intercept is solved for, so that the share that is hidden is the
one that was asked for on the samples at hand, and not only in expectation.

u is a function of the seed, the sample's name and the column's name alone: not of the place of a
row, of which other samples are asked, or of the machine. Where one pattern hides more than another
of the same mechanism and seed, it hides nearly all that the other does, so that curves over rates
are paired.

Source: Rubin, "Inference and missing data", Biometrika 63, 1976, for the three kinds.
"""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import root_scalar
from scipy.special import logit, ndtri
from scipy.stats import rankdata

# The odds of being hidden are multiplied by exp(1.5), about 4.5, for each standard deviation.
SLOPE = 1.5

_ROUNDS = 4


def uniforms(
    seed: int, samples: Sequence[str], columns: Sequence[str]
) -> Float[np.ndarray, "sample column"]:
    """A number in (0, 1) for each sample and column, from their names and the seed.

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
    """Each value's rank as a quantile of the normal distribution, with mean 0 and variance 1.

    Unknown values (NaN) count as average: 0. Where all values are the same, all are 0.
    """
    scores, known = np.zeros(len(values)), ~np.isnan(values)
    if known.any():
        found = ndtri((rankdata(values[known]) - 0.5) / known.sum())
        spread = found.std()
        scores[known] = (found - found.mean()) / spread if spread else 0.0
    return scores


def draw_hidden(
    draws: Float[np.ndarray, "sample column"],
    pulls: Float[np.ndarray, "sample column"],
    *,
    present: Bool[np.ndarray, "sample column"],
    rate: float,
) -> Bool[np.ndarray, "sample column"]:
    """What is hidden of what is measured: the share `rate` of each column, never all of a sample.

    Args:
        draws: uniform, see `uniforms`.
        pulls: x of each; 0 where the mechanism knows nothing of it.
        present: what there is to hide.
        rate: the share of each column's measured entries. Where too few could be hidden because
            each sample keeps one, as many are hidden as can be.
    """
    place = _places(logit(draws) - SLOPE * pulls, present)
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
    """Each score's place among the measured ones of its column, in (0, 1)."""
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
    """The measured entries below a place; of a sample that would lose all, the highest stays.

    `lift` is added where it is asked which of a sample's entries is the highest: it lets every
    column reach its rate.
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
    """Where a rising step function crosses zero; the nearer end where it never does."""
    if excess(low) >= 0:
        return low
    if excess(high) <= 0:
        return high
    return float(root_scalar(excess, bracket=(low, high), method="bisect", xtol=1e-6).root)
