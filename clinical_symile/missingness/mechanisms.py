"""Draw hidden entries: missing completely at random, at random, or not at random.

A mechanism hides the entry of a sample and a column with probability

    p = 1 / (1 + exp(-(a + SLOPE · x))),

a logistic model of missingness with intercept a, independently of all other entries given x. With
x = 0 it is missing completely at random (MCAR). With a covariate x that is always recorded it is
missing at random (MAR). With x the hidden value itself, or an outcome, it is missing not at random
(MNAR). x has mean 0 and variance 1.

An entry is hidden if log(u / (1 - u)) - SLOPE · x < a, with u uniform on (0, 1). The intercept of
each column is solved for on the given samples, so that the hidden share is the rate to the nearest
sample. A sample may lose all entries.

u depends on the seed, the sample's name and the column's name alone. It does not depend on the
order of rows, on other samples, on other columns, or on the machine. Of two patterns with the same
mechanism and seed, the one with the higher rate hides all that the other hides. Curves over rates
are therefore paired.

Source: Rubin, "Inference and missing data", Biometrika 63, 1976, for the three kinds.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import logit, ndtri  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from scipy.stats import rankdata  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

# The log odds of being hidden per standard deviation of x: exp(1.5) is about 4.5.
SLOPE = 1.5


def uniforms(
    seed: int, samples: Sequence[str], columns: Sequence[str]
) -> Float[np.ndarray, "sample column"]:
    """Return a uniform number in (0, 1) for each sample and column, from names and seed.

    Examples:
        >>> uniforms(0, ["100"], ["ecg"]).round(6)
        array([[0.641983]])
    """
    drawn = np.empty((len(samples), len(columns)))
    for number, column in enumerate(columns):
        start = hashlib.blake2b(f"{seed}/{column}/".encode(), digest_size=8)
        for row, sample in enumerate(samples):
            hashed = start.copy()
            hashed.update(sample.encode())
            drawn[row, number] = int.from_bytes(hashed.digest(), "big")
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
    rates: Float[np.ndarray, " column"],
) -> Bool[np.ndarray, "sample column"]:
    """Draw hidden entries, independently given the covariates.

    Args:
        draws: uniform numbers, see `uniforms`.
        covariates: x of each entry; 0 for MCAR.
        present: True where there is an entry to hide.
        rates: the share of each column's present entries to hide.
    """
    scores = logit(draws) - SLOPE * covariates
    hidden = np.zeros(draws.shape, dtype=bool)
    for column, rate in enumerate(rates):
        rows = np.flatnonzero(present[:, column])
        count = int(np.floor(rate * len(rows) + 0.5))
        lowest = np.argsort(scores[rows, column], kind="stable")[:count]
        hidden[rows[lowest], column] = True
    return hidden
