"""Compute confidence limits of proportions and other means in [0, 1], from few clustered samples.

The Wilson interval is used with an effective sample size, p (1 - p) / Var(p). The variance of the
mean over subjects is s² / N times a design effect: the larger of the sandwich estimate and
1 + ICC (k - 1), where ICC is the analysis-of-variance estimate and k = Σm² / N is Kish's bound, the
design effect if all samples of a subject were equal. The design effect lies between 1 and k, and is
k where all samples are equal, because then nothing is known of it. The quantile is Student's with
N² / Σm² - 1 degrees of freedom, the effective number of subjects: one heavy subject leaves few.

The choice is from simulation: `benchmarks/coverage_study.py`, see `docs/explanation/statistics.md`.

Sources: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22,
1927. Korn and Graubard, "Confidence intervals for proportions with small expected number of
positive counts estimated from survey data", Survey Methodology 24, 1998 (effective sample size and
degrees of freedom). Kish, "Survey Sampling", 1965, section 8.2. Bonett and Price, "Adjusted Wald
confidence interval for a difference of binomial proportions based on paired data", JEBS 37, 2012,
https://doi.org/10.3102/1076998611411915.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from scipy.special import ndtr, stdtrit  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from clinical_symile.stats.estimate import (
    ENOUGH_EVENTS,
    ENOUGH_SUBJECTS,
    Estimate,
    Quantiles,
    StudentEstimate,
)

_SMALLEST_VARIANCE = 1e-15


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
    base = np.where(variance > _SMALLEST_VARIANCE, variance, 0.0) / total
    residuals = sums - sizes * mean[:, None]
    sandwich = (residuals**2).sum(axis=1) / total**2 * subjects / max(subjects - 1, 1)
    known = base > 0
    ratio = np.divide(sandwich, base, out=np.full_like(base, kish), where=known)
    by_icc = 1 + _intraclass_correlation(sums, squares, sizes) * (kish - 1)
    design = np.where(known, np.clip(np.maximum(ratio, by_icc), 1.0, kish), kish)
    plain = np.divide(mean * (1 - mean), base, out=np.full_like(base, total), where=known)
    return EffectiveSize(mean, plain / design, float(total / kish))


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
    differences: Float[np.ndarray, " sample"],
    subjects: Shaped[np.ndarray, " sample"],
    *,
    reach: float = 1.0,
) -> StudentEstimate:
    """Estimate the mean of paired differences, with two pseudo-subjects that differ most.

    The pseudo-subjects of average size differ by plus and minus the largest observed difference.
    With one binary sample per subject this is the interval of Bonett and Price, with Student's
    quantile.

    Args:
        differences: of each sample, such as correct minus correct of the other run.
        subjects: the subject of each sample.
        reach: the largest possible difference either way.

    Raises:
        ValueError: there are fewer than two subjects, or all differences are 0.
    """
    codes, sizes = cluster_sizes(subjects)
    largest = float(np.abs(differences).max(initial=0.0))
    if largest == 0:
        raise ValueError(
            "the two runs have the same value on every sample: their difference is 0, and these "
            "data say nothing of its variation."
        )
    sums = np.bincount(codes, differences, len(sizes))
    centre, error = adjusted_difference(sums[None, :], sizes, largest=largest)
    kish = float(sizes.sum() ** 2 / (sizes**2).sum())
    few = kish < ENOUGH_SUBJECTS or int((sums != 0).sum()) < ENOUGH_EVENTS
    return StudentEstimate(
        float(np.mean(differences)),
        float(centre[0]),
        float(error[0]),
        max(kish - 1, 1.0),
        "paired, adjusted",
        few,
        reach,
    )


def adjusted_difference(
    sums: Float[np.ndarray, "study subject"],
    sizes: Float[np.ndarray, " subject"],
    *,
    largest: float,
) -> tuple[Float[np.ndarray, " study"], Float[np.ndarray, " study"]]:
    """Compute the adjusted mean difference and its standard error; see `paired_difference`."""
    subjects, average = len(sizes), sizes.mean()
    total = sizes.sum() + 2 * average
    mean = sums.sum(axis=1) / total
    residuals = ((sums - sizes * mean[:, None]) ** 2).sum(axis=1)
    for sign in (1, -1):
        residuals += (average * (sign * largest - mean)) ** 2
    variance = residuals / total**2 * (subjects + 2) / (subjects + 1)
    return mean, np.sqrt(variance)


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
    _, codes, sizes = np.unique(subjects, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise ValueError("an interval over subjects needs at least 2 of them.")
    return codes, sizes.astype(float)


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
