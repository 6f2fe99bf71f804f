"""Compute the intervals of several metrics of the same samples from one bootstrap.

Resamples depend on the subjects and the seed alone. Metrics of the same samples, such as those of a
task under many patterns, share the resamples; each interval is the same as if computed alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from clinical_symile.stats.bootstrap import (
    RESAMPLES,
    Arrays,
    Interval,
    Resampled,
    Weighted,
    Weights,
    by_weights,
    defined_share,
    jackknife,
    resample_metric,
)


@dataclass(frozen=True)
class MetricSample:
    """A metric and the samples that it is computed from.

    Attributes:
        compute: the metric of `arrays`; it raises a ValueError where it is undefined.
        arrays: its inputs, one entry per sample.
        interval: a key of `INTERVALS`.
        weighted: the same metric for many resamples at once; None if it has no such form.
    """

    compute: Callable[..., float]
    arrays: Arrays
    interval: str
    weighted: Weighted | None = None


def metric_intervals(
    numbers: Sequence[MetricSample],
    subjects: Shaped[np.ndarray, " sample"],
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> list[Interval | ValueError]:
    """Compute the 95 % interval of each metric, or the error that explains why it has none.

    Args:
        numbers: metrics of the same samples.
        subjects: the subject of each sample.
        rng: draws the resamples.
        resamples: their number.
    """
    made: dict[int, Interval | ValueError] = {}
    values: dict[int, float] = {}
    for place, number in enumerate(numbers):
        try:
            values[place] = number.compute(*number.arrays)
        except ValueError as error:
            made[place] = error
    if not values:
        return [made[place] for place in range(len(numbers))]
    known = [numbers[place] for place in values]
    arrays = [array for number in known for array in number.arrays]

    def together(weights: Weights, *_: np.ndarray) -> Float[np.ndarray, "resample number"]:
        as_floats = weights.astype(np.float64)  # converted once for all metrics
        return np.stack(
            [
                by_weights(number.compute)(weights, *number.arrays)
                if number.weighted is None
                else number.weighted(as_floats, *number.arrays)
                for number in known
            ],
            axis=1,
        )

    try:
        drawn = resample_metric(together, arrays, subjects, rng=rng, resamples=resamples)
        kinds = dict.fromkeys(number.interval for number in known)
        ends = {kind: INTERVALS[kind](together, arrays, subjects) for kind in kinds}
    except ValueError as error:
        return [made.get(place, error) for place in range(len(numbers))]
    for column, (place, value) in enumerate(values.items()):
        number = numbers[place]
        try:
            kept = defined_share(drawn[:, column], number.compute, number.arrays, subjects)
        except ValueError as error:
            made[place] = error
        else:
            made[place] = ends[number.interval](Resampled(value, kept), column)
    return [made[place] for place in range(len(numbers))]


# Maps the resampled values of a metric and its column to the interval.
Ends = Callable[[Resampled, int], Interval]


def _percentile(together: Weighted, arrays: Arrays, subjects: np.ndarray) -> Ends:
    del together, arrays, subjects
    return lambda drawn, column: drawn.interval()


def _bca(together: Weighted, arrays: Arrays, subjects: np.ndarray) -> Ends:
    left_out = jackknife(together, arrays, subjects)
    return lambda drawn, column: drawn.bca_interval(left_out[:, column])


INTERVALS = {"bca": _bca, "percentile": _percentile}
