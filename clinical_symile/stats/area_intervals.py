"""Compute confidence limits of an AUROC from few events or few subjects, near 1 included.

The limits solve |A - θ| = z sqrt(c V(θ)): a score interval, whose variance depends on the area that
is tested. V is the variance of an area θ from m positives and n negatives with normal scores of
equal variance (the binormal model),

V(θ) = (θ (1 - θ) + (m + n - 2) (B(θ) - θ²)) / (m n),

with B(θ) the probability that two normal variables of correlation 1/2 are both below the quantile
of θ: a positive above two negatives, or two positives above a negative. An observed area of 1 has
an interval too. c adapts it to the data. c is the largest of 1, the design effect of clustered
samples (Obuchowski's variance over DeLong's), and Obuchowski's variance over V(A). It is shrunk
towards its largest value under Kish's bound, all samples of a subject equal, with the weight of
half a degree of freedom against the effective number of subjects of the rarer class minus 1.

The difference of two areas has score limits too. For a difference δ, both areas are moved to the
nearest pair that differs by δ: the area that is known less well moves more. The variances are those
of the moved areas, so that two groups without a gap have the variance of one common area. The
precision of an area is 1 / (c V) at the area with two wins and two losses more ("plus four"), since
an observed area of 1 would seem to be known without error.

The choice is from simulation: `benchmarks/coverage_study.py`, see `docs/explanation/statistics.md`.

Sources: Hanley, "The robustness of the 'binormal' assumptions used in fitting ROC curves", Medical
Decision Making 8, 1988. Hanley and McNeil, "The meaning and use of the area under a ROC curve",
Radiology 143, 1982 (the form of V). Newcombe, "Confidence intervals for an effect size measure
based on the Mann-Whitney statistic. Part 2", Statistics in Medicine 25, 2006,
https://doi.org/10.1002/sim.2324 (score limits). Miettinen and Nurminen, "Comparative analysis of
two rates", Statistics in Medicine 4, 1985, https://doi.org/10.1002/sim.4780040211 (score limits of
a difference). Agresti and Caffo, "Simple and effective confidence intervals for proportions and
differences of proportions", American Statistician 54, 2000 (plus four). Obuchowski,
"Nonparametric analysis of clustered ROC curve data", Biometrics 53, 1997.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.special import ndtri, owens_t  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from clinical_symile.stats.estimate import Estimate, Quantiles
from clinical_symile.stats.midranks import mid_ranks

_SMALLEST_VARIANCE = 1e-12
_PRIOR_DEGREES = 0.5
_BISECTIONS = 40
# Wins and losses that are added to each area before its precision is computed.
_ADDED = 2.0


class AreaMoments(NamedTuple):
    """Moments of the AUROC of each study.

    Attributes:
        area: the AUROC.
        variance: over subjects (Obuchowski); NaN with fewer than two subjects of a class.
        unclustered: over samples (DeLong).
        positives: number of positive samples.
        negatives: number of negative samples.
        positive_subjects: Kish's effective number of subjects with positive samples.
        negative_subjects: the same of negative samples.
    """

    area: Float[np.ndarray, " study"]
    variance: Float[np.ndarray, " study"]
    unclustered: Float[np.ndarray, " study"]
    positives: Float[np.ndarray, " study"]
    negatives: Float[np.ndarray, " study"]
    positive_subjects: Float[np.ndarray, " study"]
    negative_subjects: Float[np.ndarray, " study"]


@dataclass(frozen=True, eq=False)
class AreaEstimate(Estimate):
    """An AUROC with its confidence limits, and the moments from which they follow.

    Attributes:
        moments: of one study.
    """

    moments: AreaMoments


def auroc_estimate(
    label: Int[np.ndarray, " sample"],
    probability: Float[np.ndarray, " sample"],
    subjects: Shaped[np.ndarray, " sample"],
) -> AreaEstimate:
    """Estimate the AUROC.

    Args:
        label: 0 or 1.
        probability: the score of each sample.
        subjects: the subject of each sample.

    Raises:
        ValueError: fewer than two subjects have a positive, or a negative sample.
    """
    codes = np.unique(subjects, return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    starts: Any = np.searchsorted(codes[order], np.arange(codes.max() + 1))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    moments = area_moments(probability[None, order], label[None, order], starts)  # pyright: ignore[reportUnknownArgumentType]
    if np.isnan(moments.variance[0]):
        raise ValueError(
            "fewer than 2 subjects have a positive sample, or a negative one; an interval of AUROC "
            "needs 2 of each. Evaluate on more samples."
        )

    def limits(z: Quantiles) -> tuple[Quantiles, Quantiles]:
        low, high = score_limits(moments, z)
        return low[0], high[0]

    return AreaEstimate(float(moments.area[0]), limits, "score", True, moments)


def area_difference(
    one: AreaEstimate, other: AreaEstimate, *, correlation: float = 0.0
) -> Estimate:
    """Estimate the difference of two AUROCs of different samples.

    Args:
        one: the first area.
        other: the second, which is subtracted.
        correlation: of the two areas, where they share subjects.
    """

    def limits(z: Quantiles) -> tuple[Quantiles, Quantiles]:
        low, high = difference_limits(one.moments, other.moments, z, correlation=correlation)
        return low[0], high[0]

    return Estimate(one.value - other.value, limits, "score", is_preferred=True)


def area_moments(
    scores: Float[np.ndarray, "study sample"],
    label: Int[np.ndarray, "study sample"],
    starts: Int[np.ndarray, " subject"],
) -> AreaMoments:
    """Compute AUROCs and their variances, for many studies at once.

    Args:
        scores: samples of a subject follow each other.
        label: 0 or 1.
        starts: the first sample of each subject.
    """
    subjects, total = len(starts), scores.shape[1]
    positives = label.sum(axis=1).astype(float)
    negatives = total - positives
    m, n = np.maximum(positives, 1), np.maximum(negatives, 1)
    placements = _placements(scores, label, m, n)
    area = (placements * label).sum(axis=1) / m
    apart = placements - area[:, None]
    counts = [np.add.reduceat(one, starts, axis=1) for one in (label, 1 - label)]
    sums = [np.add.reduceat(apart * one, starts, axis=1) for one in (label, 1 - label)]
    holders = [(count > 0).sum(axis=1) for count in counts]
    with np.errstate(divide="ignore", invalid="ignore"):
        of_positives = holders[0] / (holders[0] - 1) * (sums[0] ** 2).sum(axis=1) / m**2
        of_negatives = holders[1] / (holders[1] - 1) * (sums[1] ** 2).sum(axis=1) / n**2
        across = subjects / max(subjects - 1, 1) * (sums[0] * sums[1]).sum(axis=1) / (m * n)
        variance = of_positives + of_negatives + 2 * across
        plain = ((apart * label) ** 2).sum(axis=1) / (m * np.maximum(m - 1, 1))
        plain += ((apart * (1 - label)) ** 2).sum(axis=1) / (n * np.maximum(n - 1, 1))
        kish = [
            total_**2 / (count**2).sum(axis=1) for total_, count in zip((m, n), counts, strict=True)
        ]
    known = (holders[0] > 1) & (holders[1] > 1)
    return AreaMoments(
        area, np.where(known, variance, np.nan), plain, positives, negatives, kish[0], kish[1]
    )


def score_limits(moments: AreaMoments, z: Quantiles) -> tuple[np.ndarray, np.ndarray]:
    """Compute limits of the area, `[study, level]`."""
    area, scale = moments.area[:, None], _scale(moments)[:, None]
    m, n = moments.positives[:, None], moments.negatives[:, None]
    z = z[None, :]
    shape = np.broadcast_shapes(area.shape, z.shape)
    below, low = np.zeros(shape), np.broadcast_to(area, shape).copy()
    high, above = np.broadcast_to(area, shape).copy(), np.ones(shape)
    for _ in range(_BISECTIONS):
        middle = (below + low) / 2
        far = area - middle > z * np.sqrt(scale * _model_variance(middle, m, n))
        below, low = np.where(far, middle, below), np.where(far, low, middle)
        middle = (high + above) / 2
        far = middle - area > z * np.sqrt(scale * _model_variance(middle, m, n))
        above, high = np.where(far, middle, above), np.where(far, high, middle)
    return below, above


def difference_limits(
    one: AreaMoments, other: AreaMoments, z: Quantiles, *, correlation: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Compute limits of the difference of two areas, `[study, level]`.

    Args:
        one: moments of the first areas.
        other: of the second ones, which are subtracted.
        z: standard normal quantiles.
        correlation: of the two areas of a study.
    """
    scales = [_scale(moments)[:, None] for moments in (one, other)]
    areas = [moments.area[:, None] for moments in (one, other)]
    sizes = [(m.positives[:, None], m.negatives[:, None]) for m in (one, other)]
    known = [
        1 / (c * _model_variance(_plus_four(m)[:, None], *n))
        for c, m, n in zip(scales, (one, other), sizes, strict=True)
    ]
    share = known[1] / (known[0] + known[1])  # by which the first area moves
    difference = areas[0] - areas[1]

    def is_far(gap: np.ndarray) -> np.ndarray:
        first = np.clip(
            areas[0] + share * (gap - difference), np.maximum(gap, 0), np.minimum(1 + gap, 1)
        )
        errors = [
            np.sqrt(c * _model_variance(area, *n))
            for c, area, n in zip(scales, (first, first - gap), sizes, strict=True)
        ]
        squared = errors[0] ** 2 + errors[1] ** 2 - 2 * correlation * errors[0] * errors[1]
        return np.abs(difference - gap) > z[None, :] * np.sqrt(np.maximum(squared, 0.0))

    shape = np.broadcast_shapes(difference.shape, z[None, :].shape)
    ends: list[np.ndarray] = []
    for end in (-1.0, 1.0):
        outside = np.full(shape, end)
        inside = np.broadcast_to(difference, shape).copy()
        for _ in range(_BISECTIONS):
            middle = (outside + inside) / 2
            far = is_far(middle)
            outside, inside = np.where(far, middle, outside), np.where(far, inside, middle)
        ends.append(outside)
    return ends[0], ends[1]


def _plus_four(moments: AreaMoments) -> Float[np.ndarray, " study"]:
    """Return each area after two wins and two losses more among the samples of the rarer class."""
    rarer = np.minimum(moments.positives, moments.negatives)
    return (moments.area * rarer + _ADDED) / (rarer + 2 * _ADDED)


def _scale(moments: AreaMoments) -> Float[np.ndarray, " study"]:
    area = np.clip(moments.area, 1e-6, 1 - 1e-6)
    model = _model_variance(area, moments.positives, moments.negatives)
    subjects = moments.positive_subjects, moments.negative_subjects
    bound = np.maximum(_model_variance(area, *subjects) / model, 1.0)
    variance = np.nan_to_num(moments.variance)
    known = variance > _SMALLEST_VARIANCE
    ratio = np.divide(
        variance, moments.unclustered, out=bound.copy(), where=moments.unclustered > 0
    )
    design = np.where(known, np.clip(ratio, 1.0, bound), bound)
    found = np.maximum(design, np.where(known, variance / model, 1.0))
    degrees = np.maximum(np.minimum(*subjects) - 1, 0.0)
    weight = _PRIOR_DEGREES / (degrees + _PRIOR_DEGREES)
    return (1 - weight) * found + weight * np.maximum(bound, found)


def _model_variance(area: np.ndarray, m: np.ndarray, n: np.ndarray) -> np.ndarray:
    # P(both of two normal variables of correlation 1/2 are below a quantile): Owen's T function.
    quantile = ndtri(np.clip(area, 1e-12, 1 - 1e-12))
    joint = area - 2 * owens_t(quantile, 1 / np.sqrt(3))
    # Near 0 and 1 the difference is rounded, and may fall below 0.
    return (area * (1 - area) + (m + n - 2) * np.maximum(joint - area**2, 0.0)) / (m * n)


def _placements(
    scores: Float[np.ndarray, "study sample"],
    label: Int[np.ndarray, "study sample"],
    m: Float[np.ndarray, " study"],
    n: Float[np.ndarray, " study"],
) -> Float[np.ndarray, "study sample"]:
    """Return each sample's share of samples of the other class on its right side, ties half."""
    positive = label == 1
    ranks = _ranks(scores)
    above = (ranks - _ranks(np.where(positive, scores, np.inf))) / n[:, None]
    below = 1 - (ranks - _ranks(np.where(positive, np.inf, scores))) / m[:, None]
    return np.where(positive, above, below)


def _ranks(scores: Float[np.ndarray, "study sample"]) -> Float[np.ndarray, "study sample"]:
    return mid_ranks(scores, axis=1)
