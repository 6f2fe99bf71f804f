"""Ranks of values, equal ones sharing the mean of theirs."""

from typing import cast

import numpy as np
from scipy import stats  # pyright: ignore[reportMissingTypeStubs]


def mid_ranks(values: np.ndarray, *, axis: int | None = None) -> np.ndarray:
    """Return ranks from 1 in float64; equal values have the mean of their ranks.

    Args:
        values: numbers of any shape.
        axis: the axis along which to rank; None ranks all values together, as a flat array.
    """
    ranks = stats.rankdata(values, axis=axis)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return np.asarray(cast(np.ndarray, ranks), dtype=np.float64)
