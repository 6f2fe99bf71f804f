"""Intervals, of 95 % unless another level is asked for, by bootstrap over subjects.

All samples of a subject are drawn together, since they are not independent of each other; an
interval over samples would be too narrow.

Source: Davison and Hinkley, "Bootstrap Methods and their Application", Cambridge University Press,
1997: percentile intervals, and resampling of hierarchical data at the upper level.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

LEVEL = 0.95
UNDEFINED_SHARE = 0.05


class Interval(NamedTuple):
    """A value and the ends of its interval."""

    value: float
    low: float
    high: float


def bootstrap(
    metric: Callable[..., float],
    arrays: Sequence[Shaped[np.ndarray, " sample"]],
    subjects: Shaped[np.ndarray, " sample"],
    *,
    rng: np.random.Generator,
    resamples: int = 1000,
    level: float = LEVEL,
) -> Interval:
    """A metric's value, and its percentile interval over resampled subjects.

    Args:
        metric: called with `arrays`, or with some rows of each.
        arrays: what the metric is of, one entry per sample.
        subjects: whose sample it is.
        rng: where resamples are drawn.
        resamples: how many; an interval of a high level needs more.
        level: how often such an interval holds the true value.

    Raises:
        ValueError: fewer than two subjects, arrays of different lengths, or a metric that is
            undefined in more than one resample in twenty, as AUROC is where one class is rare. A
            metric says that it is undefined by a ValueError.
    """
    return _percentiles(metric, arrays, subjects, rng, resamples, level)


def paired_bootstrap(
    metric: Callable[..., float],
    arrays: Sequence[Shaped[np.ndarray, " sample"]],
    baseline: Sequence[Shaped[np.ndarray, " sample"]],
    subjects: Shaped[np.ndarray, " sample"],
    *,
    rng: np.random.Generator,
    resamples: int = 1000,
    level: float = LEVEL,
) -> Interval:
    """The difference of a metric between two models on the same samples, and its interval.

    Both are scored on the same resampled subjects, so that what they have in common cancels.

    Args:
        metric: as in `bootstrap`.
        arrays: of the model that is asked about.
        baseline: the same of the model it is compared with, row for row.
        subjects: whose sample it is.
        rng: where resamples are drawn.
        resamples: how many; an interval of a high level needs more.
        level: how often such an interval holds the true value.

    Raises:
        ValueError: as in `bootstrap`.
    """
    width = len(arrays)

    def difference(*taken: np.ndarray) -> float:
        return metric(*taken[:width]) - metric(*taken[width:])

    return _percentiles(difference, [*arrays, *baseline], subjects, rng, resamples, level)


def _percentiles(
    metric: Callable[..., float],
    arrays: Sequence[Shaped[np.ndarray, " sample"]],
    subjects: Shaped[np.ndarray, " sample"],
    rng: np.random.Generator,
    resamples: int,
    level: float,
) -> Interval:
    lengths = {len(array) for array in arrays}
    if lengths != {len(subjects)}:
        raise ValueError(
            f"arrays of length {', '.join(map(str, sorted(lengths)))} for the subjects of "
            f"{len(subjects)} samples; expected one entry per sample in each."
        )
    if len(np.unique(subjects)) < 2:
        raise ValueError(
            "an interval over subjects needs at least 2 of them; expected samples of more people."
        )
    value = metric(*arrays)
    values, undefined = [], None
    for index in _resampled_rows(subjects, rng, resamples):
        try:
            values.append(metric(*(array[index] for array in arrays)))
        except ValueError as error:
            undefined = error
    if undefined is not None and len(values) < (1 - UNDEFINED_SHARE) * resamples:
        raise ValueError(
            f"the metric is undefined in too many of {resamples} resamples by subject: {undefined}"
        ) from undefined
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def _resampled_rows(
    subjects: Shaped[np.ndarray, " sample"], rng: np.random.Generator, resamples: int
) -> Iterator[Int[np.ndarray, " drawn"]]:
    """For each resample, the rows of as many subjects as there are, drawn with replacement."""
    _, codes, counts = np.unique(subjects, return_inverse=True, return_counts=True)
    rows_by_subject = np.argsort(codes, kind="stable")
    first = np.cumsum(counts) - counts
    for _ in range(resamples):
        drawn = rng.integers(len(counts), size=len(counts))
        taken = counts[drawn]
        within = np.arange(taken.sum()) - np.repeat(np.cumsum(taken) - taken, taken)
        yield rows_by_subject[np.repeat(first[drawn], taken) + within]
