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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.special import ndtr  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from clinical_symile.metrics.small_cells import withheld_cells
from clinical_symile.stats.area_intervals import AreaEstimate, area_difference
from clinical_symile.stats.estimate import (
    ENOUGH_SUBJECTS,
    LEVEL,
    Estimate,
    StudentEstimate,
    weighted_sum,
)
from clinical_symile.stats.proportions import cluster_sizes
from clinical_symile.stats.required_subjects import fatal_loss
from clinical_symile.stats.resampling import Arrays, Weighted, resample_metric

# Returns a metric's estimate for few subjects or events, from its arrays and the subjects.
EstimateOf = Callable[[Arrays, np.ndarray], Estimate | None]


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
        p_value: p-value of the test that there is no gap.
        worst: the share of resamples in which it is the worst of the shown groups.
        n_samples: number of samples in the group; None where it is withheld.
        n_subjects: number of subjects in the group; None where it is withheld.
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
    estimate: EstimateOf | None = None,
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
        estimate: the metric's own method for few subjects or events, of arrays and subjects.
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
    own = [_own(estimate, arrays, subjects, mask) for mask in masks]
    lasting = [_is_lasting(weighted, arrays, subjects, mask) for mask in masks]
    made = [SubgroupEstimate(level=level, withheld=reason) for level, reason in withheld.items()]
    for place, level in enumerate(shown):
        gap: dict[str, Any] = {}
        low, high = _ends(drawn[:, place], own[place], is_lasting=lasting[place])
        if level in rest:
            other = len(shown) + rest.index(level)
            gap = _gap(
                values[place] - values[other],
                drawn[:, [place, other]],
                (own[place], own[other]),
                (subjects[masks[place]], subjects[masks[other]]),
                is_lasting=lasting[place] and lasting[other],
            )
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

    Examples:
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


def _own(
    estimate: EstimateOf | None,
    arrays: Arrays,
    subjects: Shaped[np.ndarray, " sample"],
    mask: Bool[np.ndarray, " sample"],
) -> Estimate | None:
    """Return the metric's estimate for few subjects; None if it has none."""
    try:
        return None if estimate is None else estimate([a[mask] for a in arrays], subjects[mask])
    except ValueError:
        return None


def _is_lasting(
    weighted: Weighted,
    arrays: Arrays,
    subjects: Shaped[np.ndarray, " sample"],
    mask: Bool[np.ndarray, " sample"],
) -> bool:
    """Return whether the metric of some samples is defined without any two of their subjects."""
    taken = [array[mask] for array in arrays]

    def is_defined(kept: Bool[np.ndarray, " sample"]) -> bool:
        with np.errstate(invalid="ignore", divide="ignore"):
            return not np.isnan(weighted(kept[None, :].astype(np.int64), *taken)).any()

    return fatal_loss(is_defined, subjects[mask]) is None


def _ends(
    drawn: Float[np.ndarray, " resample"], own: Estimate | None, *, is_lasting: bool
) -> tuple[float | None, float | None]:
    if own is not None and own.is_preferred:
        interval = own.interval()
        return interval.low, interval.high
    known = drawn[~np.isnan(drawn)]
    if not is_lasting or not len(known):
        return None, None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return (float(low), float(high)) if high > low else (None, None)


def _gap(
    value: float,
    drawn: Float[np.ndarray, "resample 2"],
    own: tuple[Estimate | None, Estimate | None],
    subjects: tuple[Shaped[np.ndarray, " group"], Shaped[np.ndarray, " other"]],
    *,
    is_lasting: bool,
) -> dict[str, float | None]:
    """Return the gap between a group and the others, its interval and its p-value."""
    group, others = own
    if group is not None and others is not None and (group.is_preferred or others.is_preferred):
        shared = np.isin(subjects[0], subjects[1]).any()
        correlation = _correlation(drawn) if shared else 0.0
        if isinstance(group, AreaEstimate) and isinstance(others, AreaEstimate):
            difference = area_difference(group, others, correlation=correlation)
        else:
            difference = weighted_sum(group, others, correlation=correlation)
        interval = difference.interval()
        return {
            "gap": float(value),
            "gap_low": interval.low,
            "gap_high": interval.high,
            "p_value": difference.p_value(),
        }
    apart = drawn[:, 0] - drawn[:, 1]
    low, high = _ends(apart, None, is_lasting=is_lasting)
    if low is None:  # undefined without two subjects, or the same in every resample
        return {"gap": float(value)} if np.isfinite(value) else {}
    error = float(np.nanstd(apart, ddof=1))
    kish = min(float(_kish(one)) for one in subjects)
    if kish >= ENOUGH_SUBJECTS:
        p_value = float(2 * ndtr(-abs(value) / error))
        return {"gap": float(value), "gap_low": low, "gap_high": high, "p_value": p_value}
    # Student's, since the bootstrap's standard error of few subjects is too small.
    error = float(error * np.sqrt(kish / max(kish - 1, 1.0)))
    few = StudentEstimate(float(value), float(value), error, max(kish - 1, 1.0), "Student", True)
    interval = few.interval()
    return {
        "gap": float(value),
        "gap_low": interval.low,
        "gap_high": interval.high,
        "p_value": few.p_value(),
    }


def _correlation(drawn: Float[np.ndarray, "resample 2"]) -> float:
    known = drawn[~np.isnan(drawn).any(axis=1)]
    if len(known) < 2 or not known.std(axis=0).all():
        return 0.0
    return float(np.corrcoef(known.T)[0, 1])


def _kish(subjects: Shaped[np.ndarray, " sample"]) -> float:
    _, sizes = cluster_sizes(subjects)
    return float(sizes.sum() ** 2 / (sizes**2).sum())
