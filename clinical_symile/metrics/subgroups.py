"""How a model does for groups of patients, which group does worst, and whether gaps are chance.

Each group stands against the samples of all other groups that are told. Groups with fewer than ten
people or samples, or of ten samples of either class, are withheld: what is said of them would be
noise, and could point at someone. The next smallest is withheld too, until what is not told of all
samples is of ten people, or its numbers would follow from those of all.

The worst of several groups is worst by chance too: `worst` is in how many resamples a group is, and
the p values of all gaps are one family (Holm).

Source: for resampling of groups and worst-group performance, Sagawa et al., 2020,
https://arxiv.org/abs/1911.08731; for withholding below ten, the usual rule of disclosure control.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.special import ndtr

from clinical_symile.metrics.small_cells import withheld_cells
from clinical_symile.stats.bootstrap import (
    LEVEL,
    UNDEFINED_SHARE,
    Arrays,
    Weighted,
    resample_metric,
)


@dataclass(frozen=True, kw_only=True)
class SubgroupEstimate:
    """One group's number and its gap to all others.

    Attributes:
        level: the group.
        value: the metric of its samples; None where the group is withheld.
        low: lower end of the 95 % interval, by bootstrap over subjects.
        high: its upper end.
        gap: value minus that of all other groups' samples; None where there is no other.
        gap_low: lower end of the gap's interval.
        gap_high: its upper end.
        p_value: that there is no gap: normal, with the gap's standard error over resamples.
        worst: in what share of resamples it is the worst of the groups that are told.
        n_samples: of the group; None where it is withheld.
        n_subjects: whose they are; None where it is withheld.
        withheld: why; None where it is told.
    """

    level: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    gap: float | None = None
    gap_low: float | None = None
    gap_high: float | None = None
    p_value: float | None = None
    worst: float | None = None
    n_samples: int | None = None
    n_subjects: int | None = None
    withheld: str | None = None


def subgroup_estimates(
    weighted: Weighted,
    arrays: Arrays,
    subjects: Shaped[np.ndarray, " sample"],
    groups: Shaped[np.ndarray, " sample"],
    *,
    classes: Int[np.ndarray, " sample"] | None,
    higher_is_better: bool,
    rng: np.random.Generator,
) -> list[SubgroupEstimate]:
    """A metric of each group, in the order of their names; the lowest of bands first.

    Args:
        weighted: the metric's form for many resamples.
        arrays: what it is of.
        subjects: whose sample it is.
        groups: the group of each sample, as text; None where it is not known: in no group, and not
            among the others.
        classes: 0 or 1 for each sample, of which a group needs ten each; None for metrics that
            need no classes.
        higher_is_better: the direction of improvement.
        rng: draws people.
    """
    kinds = np.zeros(len(groups), dtype=int) if classes is None else classes
    levels = sorted({str(group) for group in groups if group is not None}, key=level_order)
    inside = {level: np.array([group == level for group in groups]) for level in levels}
    hidden = withheld_cells(
        list(inside.values()), lambda cell: _least(cell, subjects, kinds, np.unique(kinds))
    )
    withheld = {levels[place]: reason for place, reason in hidden.items()}
    told = [level for level in levels if level not in withheld]
    if not told:
        return [SubgroupEstimate(level=level, withheld=withheld[level]) for level in levels]
    rest = told if len(told) > 1 else []
    all_told = np.any([inside[level] for level in told], axis=0)
    masks = [inside[level] for level in told] + [all_told & ~inside[level] for level in rest]

    def numbers(weights: np.ndarray, *taken: np.ndarray) -> Float[np.ndarray, "resample mask"]:
        with np.errstate(invalid="ignore", divide="ignore"):
            parts = [weighted(weights[:, m], *(a[m] for a in taken)) for m in masks]
        return np.stack(parts, axis=1)

    values = numbers(np.ones((1, len(groups)), dtype=np.int64), *arrays)[0]
    drawn = resample_metric(numbers, arrays, subjects, rng=rng)
    worst = _worst(drawn[:, : len(told)], higher_is_better=higher_is_better)
    made = [SubgroupEstimate(level=level, withheld=reason) for level, reason in withheld.items()]
    for place, level in enumerate(told):
        gap: dict[str, Any] = {}
        low, high = _ends(drawn[:, place])
        if level in rest:
            other = len(told) + rest.index(level)
            gap = _gap(values[place] - values[other], drawn[:, place] - drawn[:, other])
        made.append(
            SubgroupEstimate(
                level=level,
                value=float(values[place]),
                low=low,
                high=high,
                **gap,
                worst=None if len(told) < 2 else float(worst[place]),
                n_samples=int(inside[level].sum()),
                n_subjects=len(np.unique(subjects[inside[level]])),
            )
        )
    return sorted(made, key=lambda group: level_order(group.level))


def age_bands(values: Float[np.ndarray, " sample"], edges: Sequence[int | float]) -> np.ndarray:
    """Numbers as bands: below the first edge, between two, from the last on; None where NaN.

    >>> age_bands(np.array([17.0, 18.0, 70.0, np.nan]), [18, 65]).tolist()
    ['<18', '18-64', '65+', None]
    """
    whole = all(float(edge).is_integer() for edge in edges)
    names = [f"<{edges[0]:g}"]
    for low, high in pairwise(edges):
        names.append(f"{low:g}-{high - 1 if whole else high:g}")
    names.append(f"{edges[-1]:g}+")
    places = np.searchsorted(np.asarray(edges), values, side="right")
    return np.array(
        [None if np.isnan(v) else names[p] for v, p in zip(values, places, strict=True)],
        dtype=object,
    )


def level_order(level: str) -> tuple[bool, str]:
    """What to sort groups by: their names, but the band below the first edge comes first."""
    return not level.startswith("<"), level


def _least(
    cell: Bool[np.ndarray, " sample"],
    subjects: Shaped[np.ndarray, " sample"],
    kinds: Int[np.ndarray, " sample"],
    every: Int[np.ndarray, " kind"],
) -> int:
    """The smallest of the counts that a group must have: samples of each class, and subjects."""
    samples = min(int((cell & (kinds == kind)).sum()) for kind in every)
    return min(samples, len(np.unique(subjects[cell])))


def _worst(
    drawn: Float[np.ndarray, "resample group"], *, higher_is_better: bool
) -> Float[np.ndarray, " group"]:
    """In what share of resamples each group is worst, ties shared."""
    filled = np.where(np.isnan(drawn), np.inf if higher_is_better else -np.inf, drawn)
    end = filled.min(axis=1) if higher_is_better else filled.max(axis=1)
    there = filled == end[:, None]
    return (there / there.sum(axis=1, keepdims=True)).mean(axis=0)


def _ends(drawn: Float[np.ndarray, " resample"]) -> tuple[float | None, float | None]:
    known = drawn[~np.isnan(drawn)]
    if len(known) < (1 - UNDEFINED_SHARE) * len(drawn):
        return None, None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _gap(value: float, drawn: Float[np.ndarray, " resample"]) -> dict[str, float | None]:
    low, high = _ends(drawn)
    if low is None:
        return {}
    error = float(np.nanstd(drawn, ddof=1))
    p_value = float(2 * ndtr(-abs(value) / error)) if error else float(value == 0)
    return {"gap": float(value), "gap_low": low, "gap_high": high, "p_value": p_value}
