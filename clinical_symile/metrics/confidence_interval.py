"""Compute a metric of the registry, or of your own, with its bootstrap interval."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Shaped

from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import METRICS
from clinical_symile.stats.bootstrap import MetricSample, metric_intervals
from clinical_symile.stats.estimate import Interval, NoInterval


def bootstrap_ci(
    metric: str | Callable[..., float],
    *arrays: Shaped[np.ndarray, " sample"],
    subjects: Shaped[np.ndarray, " sample"],
    seed: int = 0,
    resamples: int = 1000,
) -> Interval:
    """Compute a metric and its 95 % interval by bootstrap over subjects.

    All samples of a subject are drawn together. A named metric gets the kind of interval that
    results have (BCa or percentile); a function gets a percentile interval.

    Args:
        metric: a name of `list_metrics()`, or a function of the arrays that returns a number.
        *arrays: one entry per sample, such as labels (0 or 1) and probabilities for `auroc`.
        subjects: the subject of each sample.
        seed: seed of the resamples.
        resamples: number of resamples.

    Returns:
        The value, the ends of the interval, and its kind.

    Raises:
        DefinitionError: there is no such metric.
        ValueError: the metric is undefined on these arrays, or there are fewer than two subjects.

    Examples:
        >>> import numpy as np
        >>> label, probability = np.arange(40) % 2, np.linspace(0, 1, 40)
        >>> subjects = np.arange(40)
        >>> interval = cs.bootstrap_ci("auroc", label, probability, subjects=subjects)
        >>> interval.low < interval.value < interval.high
        True
    """
    if isinstance(metric, str):
        found = resolve(metric, METRICS)
        number = MetricSample(found.compute, arrays, found.interval, found.weighted, found.estimate)
    else:
        number = MetricSample(metric, arrays, "percentile")
    rng = np.random.default_rng(seed)
    (interval,) = metric_intervals([number], subjects, rng=rng, resamples=resamples)
    if isinstance(interval, ValueError):
        raise interval
    if isinstance(interval, NoInterval):
        raise ValueError(interval.reason)
    return interval
