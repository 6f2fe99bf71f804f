"""Evaluate a model in groups of patients: values, gaps, and the probability to be the worst group.

Each group is compared with the samples of all other groups that are shown. Groups with fewer than
ten subjects or samples, or ten samples of either class, are withheld: their values would be noise,
and could identify someone. The next smallest group is withheld too, until the withheld groups
together have ten subjects; otherwise their numbers would follow from the total.

One of several groups is always the worst. `worst` is the share of resamples in which a group is,
and the p-values of all gaps form one family (Holm).

Source: for resampling of groups and worst-group performance, Sagawa et al., 2020,
https://arxiv.org/abs/1911.08731; for withholding below ten, the usual rule of disclosure control.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.special import ndtr  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

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
    """One group's value and its gap to all other groups.

    Attributes:
        level: the group.
        value: the metric of its samples; None where the group is withheld.
        low: lower end of the 95 % interval, by bootstrap over subjects.
        high: its upper end.
        gap: value minus the value of all other groups' samples; None without other groups.
        gap_low: lower end of the gap's interval.
        gap_high: its upper end.
        p_value: of the test that is_worst is no gap.
        worst: the share of resamples in which it is the worst of the shown groups.
        n_samples: of the group; None where it is withheld.
        n_subjects: of the group; None where it is withheld.
        withheld: the reason; None where it is shown.
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
    """Compute a metric in each group, in the order of names, the lowest age band first.

    Args:
        weighted: the metric for many resamples at once.
        arrays: its inputs, one entry per sample.
        subjects: the subject of each sample.
        groups: the group of each sample, as text; None where unknown: the sample is then in no
            group and not among the others.
        classes: 0 or 1 for each sample, of which a group needs ten each; None for metrics without
            classes.
        higher_is_better: the direction of improvement.
        rng: draws the resamples.
    """
    kinds = np.zeros(len(groups), dtype=int) if classes is None else classes
    levels = sorted({str(group) for group in groups if group is not None}, key=level_order)
    inside = {level: np.array([group == level for group in groups]) for level in levels}
    hidden = withheld_cells(
        list(inside.values()), lambda cell: _least(cell, subjects, kinds, np.unique(kinds))
    )
    withheld = {levels[place]: reason for place, reason in hidden.items()}
    shown = [level for level in levels if level not in withheld]
    if not shown:
        return [SubgroupEstimate(level=level, withheld=withheld[level]) for level in levels]
    rest = shown if len(shown) > 1 else []
    all_shown = np.any([inside[level] for level in shown], axis=0)
    masks = [inside[level] for level in shown] + [all_shown & ~inside[level] for level in rest]

    def numbers(weights: np.ndarray, *taken: np.ndarray) -> Float[np.ndarray, "resample mask"]:
        with np.errstate(invalid="ignore", divide="ignore"):
            parts = [weighted(weights[:, m], *(a[m] for a in taken)) for m in masks]
        return np.stack(parts, axis=1)

    values = numbers(np.ones((1, len(groups)), dtype=np.int64), *arrays)[0]
    drawn = resample_metric(numbers, arrays, subjects, rng=rng)
    worst = _worst(drawn[:, : len(shown)], higher_is_better=higher_is_better)
    made = [SubgroupEstimate(level=level, withheld=reason) for level, reason in withheld.items()]
    for place, level in enumerate(shown):
        gap: dict[str, Any] = {}
        low, high = _ends(drawn[:, place])
        if level in rest:
            other = len(shown) + rest.index(level)
            gap = _gap(values[place] - values[other], drawn[:, place] - drawn[:, other])
        made.append(
            SubgroupEstimate(
                level=level,
                value=float(values[place]),
                low=low,
                high=high,
                **gap,
                worst=None if len(shown) < 2 else float(worst[place]),
                n_samples=int(inside[level].sum()),
                n_subjects=len(np.unique(subjects[inside[level]])),
            )
        )
    return sorted(made, key=lambda group: level_order(group.level))


def age_bands(values: Float[np.ndarray, " sample"], edges: Sequence[int | float]) -> np.ndarray:
    """Return the band of each number: below the first edge, between edges, above; None for NaN.

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
    """Return the sort key of a group: its name, with the lowest band first."""
    return not level.startswith("<"), level


def _least(
    cell: Bool[np.ndarray, " sample"],
    subjects: Shaped[np.ndarray, " sample"],
    kinds: Int[np.ndarray, " sample"],
    every: Int[np.ndarray, " kind"],
) -> int:
    """Return the smallest of a group's counts: samples of each class, and subjects."""
    samples = min(int((cell & (kinds == kind)).sum()) for kind in every)
    return min(samples, len(np.unique(subjects[cell])))


def _worst(
    drawn: Float[np.ndarray, "resample group"], *, higher_is_better: bool
) -> Float[np.ndarray, " group"]:
    """Return the share of resamples in which each group is worst, ties shared."""
    filled = np.where(np.isnan(drawn), np.inf if higher_is_better else -np.inf, drawn)
    end = filled.min(axis=1) if higher_is_better else filled.max(axis=1)
    is_worst = filled == end[:, None]
    return (is_worst / is_worst.sum(axis=1, keepdims=True)).mean(axis=0)


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
