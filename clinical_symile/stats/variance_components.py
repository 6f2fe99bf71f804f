"""How much of a number is the luck of training, and how much the people it was measured on.

Runs that differ by seed alone are scored on the same people: the number of seed s on these people
is μ + people + seed + both, where *people* is shared by all runs, *seed* is what a seed does for
all people, and *both* what it does for just these. From a bootstrap over people, done once for all
runs, each has its variance:

- people: that of the mean over seeds, less what seeds and people share: over resamples the mean
  varies by people + both / S;
- both: by how much the variance between seeds grows in resamples, as each of them adds another
  draw of it;
- seed: the variance between seeds on these people, less both.

One run of a new seed on other people varies by the sum of the three. With three seeds the variance
between them is known very roughly: (S - 1) degrees of freedom.

Source: Searle, Casella and McCulloch, "Variance Components", 1992, chapter 4 (crossed random
effects).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import chi2, t


class VarianceComponents(NamedTuple):
    """Standard deviations of one run's number, each in the metric's own units.

    Attributes:
        mean: over seeds.
        low: lower end of the 95 % interval of the mean for other people and other seeds.
        high: its upper end.
        people: by whom it was measured on.
        seeds: by the seed, for all people alike.
        both: by what a seed does for just these people.
        between: between seeds on these people, by the seed and by both together.
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
    """Variance over seeds apart from variance over people.

    Args:
        values: the metric of each run, on all samples.
        resampled: the same on the same resamples of people for all runs.

    Raises:
        ValueError: there is one seed only.
    """
    n = len(values)
    if n < 2:
        raise ValueError("one seed says nothing of others; expected runs of at least 2 seeds.")
    between = float(values.var(ddof=1))
    both = max(0.0, float(resampled.var(axis=1, ddof=1).mean()) - between)
    people = max(0.0, float(resampled.mean(axis=1).var(ddof=1)) - both / n)
    seeds = max(0.0, between - both)
    mean, error = float(values.mean()), np.sqrt(people + (seeds + both) / n)
    reach = float(_quantile(people, (seeds + both) / n, n) * error)
    ends = np.sqrt((n - 1) * between / chi2.ppf([0.975, 0.025], n - 1))
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
    """Of Student's distribution: few degrees of freedom where seeds are most of the variance.

    Satterthwaite's degrees of freedom of the sum of a variance that is known well and one from n
    seeds.
    """
    freedom = (people + seeds) ** 2 * (n - 1) / seeds**2 if seeds else np.inf
    return float(t.ppf(0.975, freedom))
