"""Rank methods and compute the uncertainty of ranks from shared resamples of subjects.

The rank on one sample says little: of two equal methods one always ranks first. The interval of a
rank is over subjects; `best` is the share of resamples in which a method ranks first, ties shared.

Source: Goldstein and Spiegelhalter, "League tables and their limitations", JRSS A 159, 1996.
https://doi.org/10.2307/2983325
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from clinical_symile.stats.estimate import LEVEL
from clinical_symile.stats.midranks import mid_ranks


class Rank(NamedTuple):
    """A method's rank, 1 is the best; over several tasks the mean of ranks.

    Attributes:
        rank: the rank on all samples.
        low: lower end of the 95 % interval over resamples; None if all of them give the same rank.
        high: its upper end.
        best: share of the resamples in which it ranks first.
    """

    rank: float
    low: float | None
    high: float | None
    best: float


def rank_methods(
    values: Float[np.ndarray, "task method"],
    resampled: Float[np.ndarray, "resample task method"],
    *,
    higher_is_better: bool,
) -> list[Rank]:
    """Rank methods within each task, and over tasks by the mean of their ranks.

    Args:
        values: the metric of each task and method on all samples.
        resampled: the same on resamples of subjects, shared by all methods and tasks.
        higher_is_better: the direction of improvement.
    """
    sign = -1 if higher_is_better else 1
    observed: np.ndarray = mid_ranks(sign * values, axis=-1).mean(axis=0)
    drawn: np.ndarray = mid_ranks(sign * resampled, axis=-1).mean(axis=1)
    first: np.ndarray = drawn == drawn.min(axis=1, keepdims=True)
    best: np.ndarray = (first / first.sum(axis=1, keepdims=True)).mean(axis=0)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return [
        Rank(
            float(rank),
            float(start) if start < end else None,
            float(end) if start < end else None,
            float(share),
        )
        for rank, start, end, share in zip(observed, low, high, best, strict=True)
    ]
