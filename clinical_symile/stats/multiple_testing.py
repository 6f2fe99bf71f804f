"""Adjust the p-values of a family of tests for their number.

- `holm` controls the family-wise error, for any dependence between tests;
- `benjamini_hochberg` controls the false discovery rate, for independent or positively dependent
  tests.

Sources: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
Statistics 6, 1979. Benjamini and Hochberg, "Controlling the false discovery rate", JRSS B 57, 1995.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import false_discovery_control  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the k-th smallest of n p-values times n - k + 1, monotone and at most 1."""
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(raised, 1)
    return adjusted.tolist()


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return the k-th smallest of n p-values times n / k, monotone."""
    p = _checked(p_values)
    return false_discovery_control(p, method="bh").tolist() if len(p) else []


def _checked(p_values: Sequence[float]) -> np.ndarray:
    p = np.asarray(p_values, dtype=float)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p-values outside 0 … 1 or NaN; expected the p-values of completed tests.")
    return p
