"""Decompose the variance of a metric into subjects, training seeds and their interaction.

Runs that differ by seed alone are evaluated on the same subjects. The metric of seed s is
μ + people + seed + both. *people* is shared by all runs, *seed* is the effect of the seed for all
subjects, *both* its effect for these subjects only. A bootstrap over subjects, shared by all runs,
gives their variances:

- people: the variance of the mean over seeds, minus the interaction: over resamples the mean
  varies by people + both / S;
- both: the growth of the variance between seeds in resamples, since each resample adds another
  draw of the interaction;
- seed: the variance between seeds on these subjects, minus both.

A run of a new seed on other subjects varies by the sum of the three. With three seeds the variance
between seeds is known very roughly: it has S - 1 degrees of freedom.

Source: Searle, Casella and McCulloch, "Variance Components", 1992, chapter 4 (crossed random
effects).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import stdtr, stdtrit  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from scipy.stats import chi2, t  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]


class VarianceComponents(NamedTuple):
    """Standard deviations of one run's metric, in the metric's units.

    Attributes:
        mean: over seeds.
        low: lower end of the 95 % interval of the mean, over subjects and seeds.
        high: its upper end.
        people: over subjects.
        seeds: over seeds, for all subjects.
        both: interaction of seeds and subjects.
        between: between seeds on these subjects: seeds and interaction together.
        seeds_low: lower end of the 95 % interval of `between`.
        seeds_high: its upper end.
    """

    mean: float
    low: float
    high: float
    people: float
    seeds: float
    both: float
    between: float
    seeds_low: float
    seeds_high: float


def variance_components(
    values: Float[np.ndarray, " seed"], resampled: Float[np.ndarray, "resample seed"]
) -> VarianceComponents:
    """Separate the variance over seeds from the variance over subjects.

    Args:
        values: the metric of each run, on all samples.
        resampled: the same on resamples of subjects, shared by all runs.

    Raises:
        ValueError: there is only one seed.
    """
    n = len(values)
    if n < 2:
        raise ValueError(
            "the variance over seeds needs runs of at least 2 seeds. Train with more seeds."
        )
    between = float(values.var(ddof=1))
    both = max(0.0, float(resampled.var(axis=1, ddof=1).mean()) - between)
    people = max(0.0, float(resampled.mean(axis=1).var(ddof=1)) - both / n)
    seeds = max(0.0, between - both)
    mean, error = float(values.mean()), np.sqrt(people + (seeds + both) / n)
    reach = float(_quantile(people, (seeds + both) / n, n) * error)
    law: Any = chi2
    ends = np.sqrt((n - 1) * between / law.ppf([0.975, 0.025], n - 1))
    return VarianceComponents(
        mean,
        mean - reach,
        mean + reach,
        float(np.sqrt(people)),
        float(np.sqrt(seeds)),
        float(np.sqrt(both)),
        float(np.sqrt(between)),
        float(ends[0]),
        float(ends[1]),
    )


class SeedDifference(NamedTuple):
    """The difference of two methods over subjects and seeds.

    Attributes:
        difference: mean over the seeds of the first method minus that of the second.
        low: lower end of the 95 % interval.
        high: its upper end.
        p_value: p-value of the test that there is no difference.
    """

    difference: float
    low: float
    high: float
    p_value: float


def difference_over_seeds(
    values: Sequence[Float[np.ndarray, " seed"]],
    resampled: Sequence[Float[np.ndarray, "resample seed"]],
    *,
    n_subjects: float,
) -> SeedDifference:
    """Test the difference of two methods over subjects and seeds together.

    The variance has a part of subjects, from the bootstrap of the difference of means, and a part
    of each method's seeds. The interaction of seeds and subjects is in both. It is taken out of
    one, once of the seeds and once of the subjects. The larger variance with the fewer degrees of
    freedom is used, so that the test keeps its size with few seeds. The distribution is Student's
    with Satterthwaite's degrees of freedom.

    Args:
        values: of two methods, the metric of each run on all samples.
        resampled: the same on resamples of subjects, shared by both methods.
        n_subjects: number of subjects, or Kish's effective number.

    Raises:
        ValueError: a method has only one seed, or nothing varies.
    """
    if min(len(one) for one in values) < 2:
        raise ValueError(
            "a test over seeds needs at least 2 seeds of each method. Train with more seeds."
        )
    difference = float(values[0].mean() - values[1].mean())
    means = resampled[0].mean(axis=1) - resampled[1].mean(axis=1)
    joint = float(means.var(ddof=1)) * n_subjects / max(n_subjects - 1, 1)
    between = [float(one.var(ddof=1)) for one in values]
    both = [
        max(0.0, float(one.var(axis=1, ddof=1).mean()) - all_)
        for one, all_ in zip(resampled, between, strict=True)
    ]
    counts = [len(one) for one in values]
    alone = [max(0.0, all_ - inner) for all_, inner in zip(between, both, strict=True)]
    people = max(0.0, joint - sum(b / n for b, n in zip(both, counts, strict=True)))
    choices = [
        _sum_of_variances(part, seeds, counts, n_subjects)
        for part, seeds in ((joint, alone), (people, between))
    ]
    variance, degrees = max(v for v, _ in choices), min(d for _, d in choices)
    if variance <= 0:
        raise ValueError(
            "the difference of the two methods varies neither with subjects nor seeds."
        )
    error = float(np.sqrt(variance))
    reach = float(stdtrit(degrees, 0.975)) * error
    p_value = float(2 * stdtr(degrees, -abs(difference) / error))
    return SeedDifference(difference, difference - reach, difference + reach, p_value)


def _sum_of_variances(
    people: float, seeds: Sequence[float], counts: Sequence[int], n_subjects: float
) -> tuple[float, float]:
    """Return the variance of a difference of means and its degrees of freedom."""
    parts = [(people, max(n_subjects - 1, 1.0))]
    parts += [(one / n, n - 1.0) for one, n in zip(seeds, counts, strict=True)]
    variance = sum(part for part, _ in parts)
    squares = sum(part**2 / degrees for part, degrees in parts)
    return variance, variance**2 / squares if squares else np.inf


def _quantile(people: float, seeds: float, n: int) -> float:
    """Return Student's quantile with Satterthwaite's degrees of freedom.

    They are those of the sum of a well-known variance and one from n seeds: few degrees of freedom
    where seeds dominate.
    """
    freedom = (people + seeds) ** 2 * (n - 1) / seeds**2 if seeds else np.inf
    law: Any = t
    return float(law.ppf(0.975, freedom))
