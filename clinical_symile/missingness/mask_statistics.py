"""Summarize a mask: how much it hides, how often together, and depending on what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

_NEWTON_STEPS = 50


@dataclass(frozen=True)
class MaskStatistics:
    """Statistics of a mask.

    Attributes:
        whole_share: the share of samples in which every column is available.
        empty_share: the share of samples in which no column is available; these are answered at
            chance level.
        correlation: for each pair of columns, as `ecg-labs`, the correlation of their hiding; None
            if either is hidden in no or in all samples.
        slope: for each column the slope of a logistic regression of hiding on the covariate; None
            if the pattern depends on nothing.
    """

    whole_share: float
    empty_share: float
    correlation: Mapping[str, float | None]
    slope: Mapping[str, float | None]

    def to_numbers(self) -> dict[str, float | None]:
        """Return all statistics by name: `whole_share`, `correlation/ecg-labs`, `slope/ecg`."""
        return {
            "whole_share": self.whole_share,
            "empty_share": self.empty_share,
            **{f"correlation/{pair}": value for pair, value in self.correlation.items()},
            **{f"slope/{name}": value for name, value in self.slope.items()},
        }


def mask_statistics(
    columns: Sequence[str],
    present: Bool[np.ndarray, "sample column"],
    available: Bool[np.ndarray, "sample column"],
    covariates: Float[np.ndarray, "sample column"],
) -> MaskStatistics:
    """Summarize a mask.

    Args:
        columns: the names of the columns.
        present: True where there was something to hide.
        available: True where it was not hidden.
        covariates: what the hiding depends on, with mean 0 and variance 1; else zero.
    """
    hidden = present & ~available
    correlation = {
        f"{columns[a]}-{columns[b]}": _correlation(hidden[both, a], hidden[both, b])
        for a, b in combinations(range(len(columns)), 2)
        for both in [present[:, a] & present[:, b]]
    }
    slope = {
        name: _slope(hidden[there, column], covariates[there, column])
        for column, name in enumerate(columns)
        for there in [present[:, column]]
    }
    n = max(len(available), 1)
    return MaskStatistics(
        whole_share=float(available.all(axis=1).sum() / n),
        empty_share=float((~available.any(axis=1)).sum() / n),
        correlation=correlation,
        slope=slope,
    )


def _correlation(
    first: Bool[np.ndarray, " sample"], second: Bool[np.ndarray, " sample"]
) -> float | None:
    """Return the correlation of two variables of 0 and 1; None if one is constant."""
    if not len(first) or first.all() or second.all() or not first.any() or not second.any():
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _slope(hidden: Bool[np.ndarray, " sample"], x: Float[np.ndarray, " sample"]) -> float | None:
    """Return the slope of a logistic regression, by Newton's method; None if it is undefined."""
    if not np.any(x) or hidden.all() or not hidden.any():
        return None
    design = np.stack([np.ones(len(x)), x], axis=1)
    weights = np.zeros(2)
    for _ in range(_NEWTON_STEPS):
        p: Any = expit(design @ weights)
        curvature = design.T @ (design * (p * (1 - p))[:, None])
        if np.linalg.cond(curvature) > 1e12:
            return None  # hidden and available samples are separated by x
        step = np.linalg.solve(curvature, design.T @ (hidden - p))  # pyright: ignore[reportUnknownVariableType]
        weights = weights + step  # pyright: ignore[reportUnknownVariableType]
        if np.abs(step).max() < 1e-10:  # pyright: ignore[reportUnknownArgumentType]
            return float(weights[1])  # pyright: ignore[reportUnknownArgumentType]
    return None
