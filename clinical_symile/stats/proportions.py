"""Compute confidence limits of proportions and other means in [0, 1], from few clustered samples.

The Wilson interval is used with an effective sample size, p (1 - p) / Var(p). The variance of the
mean over subjects is s² / N times a design effect: the larger of the sandwich estimate and
1 + ICC (k - 1), where ICC is the analysis-of-variance estimate and k = Σm² / N is Kish's bound, the
design effect if all samples of a subject were equal. The design effect lies between 1 and k, and is
k where all samples are equal, because then nothing is known of it. The quantile is Student's with
N² / Σm² - 1 degrees of freedom, the effective number of subjects: one heavy subject leaves few.

Values with mean p have at most the variance p (1 - p), that of zeros and ones. The variance of a
sample is shrunk towards it with the weight of one subject. Few subjects seldom show the
tail of a skewed distribution. Zeros and ones are not affected.

The choice is from simulation: `benchmarks/coverage_study.py`, see `docs/explanation/statistics.md`.

Sources: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22,
1927. Korn and Graubard, "Confidence intervals for proportions with small expected number of
positive counts estimated from survey data", Survey Methodology 24, 1998 (effective sample size and
degrees of freedom). Kish, "Survey Sampling", 1965, section 8.2. Bhatia and Davis, "A better bound
on the variance", American Mathematical Monthly 107, 2000.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from scipy.special import ndtr, stdtrit  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from clinical_symile.stats.estimate import (
    ENOUGH_EVENTS,
    ENOUGH_SUBJECTS,
    Estimate,
    Quantiles,
    weighted_sum,
)

_SMALLEST_VARIANCE = 1e-15
_COUNTED = 4  # numbers of subjects up to this many for each sample are counted


class EffectiveSize(NamedTuple):
    """The precision of means over clustered samples, one per study.

    Attributes:
        mean: over all samples.
        n_effective: the size of an unclustered sample with the same precision.
        subjects: Kish's effective number of subjects.
    """

    mean: Float[np.ndarray, " study"]
    n_effective: Float[np.ndarray, " study"]
    subjects: float


def effective_size(
    sums: Float[np.ndarray, "study subject"],
    squares: Float[np.ndarray, " study"],
    sizes: Float[np.ndarray, " subject"],
) -> EffectiveSize:
    """Compute the effective sample size of the mean of clustered samples in [0, 1].

    Args:
        sums: of the values of each subject.
        squares: sum of the squared values of all samples.
        sizes: number of samples of each subject.
    """
    total, subjects = sizes.sum(), len(sizes)
    mean = sums.sum(axis=1) / total
    kish = float((sizes**2).sum() / total)
    variance = squares / total - mean**2  # of one sample
    effective = total / kish
    supposed = (effective * variance + mean * (1 - mean)) / (effective + 1)
    base = np.where(variance > _SMALLEST_VARIANCE, variance, 0.0) / total
    residuals = sums - sizes * mean[:, None]
    sandwich = (residuals**2).sum(axis=1) / total**2 * subjects / max(subjects - 1, 1)
    known = base > 0
    ratio = np.divide(sandwich, base, out=np.full_like(base, kish), where=known)
    by_icc = 1 + _intraclass_correlation(sums, squares, sizes) * (kish - 1)
    design = np.where(known, np.clip(np.maximum(ratio, by_icc), 1.0, kish), kish)
    largest = mean * (1 - mean) * total
    plain = np.divide(largest, supposed, out=np.full_like(base, total), where=known)
    return EffectiveSize(mean, plain / design, float(effective))


def wilson_limits(size: EffectiveSize, z: Quantiles) -> tuple[np.ndarray, np.ndarray]:
    """Compute Wilson limits with the effective size, `[study, level]`."""
    q = student_quantiles(z, size.subjects - 1)[None, :]
    n, p = size.n_effective[:, None], size.mean[:, None]
    centre = (p + q**2 / (2 * n)) / (1 + q**2 / n)
    half = q / (1 + q**2 / n) * np.sqrt(np.maximum(p * (1 - p) / n, 0.0) + q**2 / (4 * n**2))
    return np.clip(centre - half, 0.0, 1.0), np.clip(centre + half, 0.0, 1.0)


def mean_estimate(
    values: Float[np.ndarray, " sample"], subjects: Shaped[np.ndarray, " sample"]
) -> Estimate:
    """Estimate the mean of values in [0, 1], such as a proportion.

    Args:
        values: one per sample.
        subjects: the subject of each sample.

    Raises:
        ValueError: there are fewer than two subjects.
    """
    codes, sizes = cluster_sizes(subjects)
    values = np.asarray(values, dtype=float)
    sums = np.bincount(codes, values, len(sizes))
    size = effective_size(sums[None, :], np.array([(values**2).sum()]), sizes)

    def limits(z: Quantiles) -> tuple[Quantiles, Quantiles]:
        low, high = wilson_limits(size, z)
        return low[0], high[0]

    mean, n = float(size.mean[0]), float(size.n_effective[0])
    few = min(mean, 1 - mean) * n < ENOUGH_EVENTS
    return Estimate(mean, limits, "Wilson", size.subjects < ENOUGH_SUBJECTS or few)


def paired_difference(
    differences: Float[np.ndarray, " sample"], subjects: Shaped[np.ndarray, " sample"]
) -> Estimate:
    """Estimate the mean of paired differences from the limits of the mean gain and the mean loss.

    A sample has a gain or a loss, as a share of the largest observed difference. Both means have
    Wilson limits with an effective size, and MOVER combines them. The correlation is that of two
    quantities of which one is always 0. With one binary sample per subject, gain and loss are the
    two discordant proportions.

    Source: Newcombe, "Improved confidence intervals for the difference between binomial proportions
    based on paired data", Statistics in Medicine 17, 1998, there from the two proportions of
    successes, here from the two discordant proportions.

    Args:
        differences: of each sample, such as correct minus correct of the other run.
        subjects: the subject of each sample.

    Raises:
        ValueError: there are fewer than two subjects, or all differences are 0.
    """
    largest = float(np.abs(differences).max(initial=0.0))
    if largest == 0:
        raise ValueError(
            "the two runs have the same value on every sample: their difference is 0, and these "
            "data say nothing of its variation."
        )
    gain, loss = (np.maximum(sign * differences / largest, 0.0) for sign in (1, -1))
    product = float(gain.mean() * loss.mean())
    spread = float(gain.std() * loss.std())
    correlation = -min(product / spread, 1.0) if spread else 0.0
    both = mean_estimate(gain, subjects), mean_estimate(loss, subjects)
    weights = largest, -largest
    found = weighted_sum(*both, weights=weights, correlation=correlation, method="MOVER, paired")
    return replace(found, is_preferred=True)


def student_quantiles(z: Quantiles, degrees: float | np.ndarray) -> Quantiles:
    """Return Student's quantiles of the levels of standard normal quantiles."""
    # Beyond this, levels are too close to 1 for the inverse; the tail is of no use there.
    return -stdtrit(np.maximum(degrees, 1.0), ndtr(-np.minimum(z, 8.0)))


def cluster_sizes(
    subjects: Shaped[np.ndarray, " sample"],
) -> tuple[np.ndarray, Float[np.ndarray, " subject"]]:
    """Return each sample's subject as a number from 0, and the number of samples of each.

    Raises:
        ValueError: there are fewer than two subjects.
    """
    if _are_small_numbers(subjects):
        counts = np.bincount(subjects)
        there = counts > 0
        codes, sizes = (np.cumsum(there) - 1)[subjects], counts[there]
    else:
        _, codes, sizes = np.unique(subjects, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise ValueError("an interval over subjects needs at least 2 of them.")
    return codes, sizes.astype(float)


def _are_small_numbers(subjects: Shaped[np.ndarray, " sample"]) -> bool:
    """Return True if subjects are whole numbers that can be counted instead of sorted."""
    if not np.issubdtype(subjects.dtype, np.integer) or not len(subjects):
        return False
    return bool(subjects.min() >= 0 and subjects.max() < _COUNTED * len(subjects))


def _intraclass_correlation(
    sums: Float[np.ndarray, "study subject"],
    squares: Float[np.ndarray, " study"],
    sizes: Float[np.ndarray, " subject"],
) -> Float[np.ndarray, " study"]:
    """Estimate the intraclass correlation by analysis of variance, between 0 and 1."""
    total, subjects = sizes.sum(), len(sizes)
    if total <= subjects:
        return np.zeros(len(sums))
    mean = sums.sum(axis=1) / total
    between = (sizes * (sums / sizes - mean[:, None]) ** 2).sum(axis=1) / (subjects - 1)
    within = (squares - (sums**2 / sizes).sum(axis=1)) / (total - subjects)
    average = (total - (sizes**2).sum() / total) / (subjects - 1)
    scale = between + (average - 1) * within
    share = np.divide(between - within, scale, out=np.zeros_like(scale), where=scale > 0)
    return np.clip(share, 0.0, 1.0)
