"""Decompose the variance of a metric into subjects, training seeds and their interaction.

Runs that differ by seed alone are evaluated on the same subjects. The metric of seed s is
μ + people + seed + both: *people* is shared by all runs, *seed* is the effect of the seed for all
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

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
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


def _quantile(people: float, seeds: float, n: int) -> float:
    """Return Student's quantile with Satterthwaite's degrees of freedom.

    They are those of the sum of a well-known variance and one from n seeds: few degrees of freedom
    where seeds dominate.
    """
    freedom = (people + seeds) ** 2 * (n - 1) / seeds**2 if seeds else np.inf
    law: Any = t
    return float(law.ppf(0.975, freedom))
