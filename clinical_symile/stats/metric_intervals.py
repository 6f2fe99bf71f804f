"""Compute the intervals of several metrics of the same samples from one bootstrap.

Resamples depend on the subjects and the seed alone. Metrics of the same samples, such as those of a
task under many patterns, share the resamples; each interval is the same as if computed alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

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
    defined_values,
    jackknife,
    resample_metric,
)
from clinical_symile.stats.estimate import Estimate

NO_WIDTH = "all resamples give the same value: these data say nothing of its variation."


@dataclass(frozen=True)
class MetricSample:
    """A metric and the samples that it is computed from.

    Attributes:
        compute: the metric of `arrays`; it raises a ValueError where it is undefined.
        arrays: its inputs, one entry per sample.
        interval: a key of `INTERVALS`.
        weighted: the same metric for many resamples at once; None if it has no such form.
        estimate: the metric's own method for few subjects or events, of arrays and subjects.
    """

    compute: Callable[..., float]
    arrays: Arrays
    interval: str
    weighted: Weighted | None = None
    estimate: Callable[[Arrays, np.ndarray], Estimate | None] | None = None

    def small_sample(self, subjects: Shaped[np.ndarray, " sample"]) -> Estimate | None:
        """Return the estimate for few subjects or events; None if it does not exist."""
        try:
            return None if self.estimate is None else self.estimate(self.arrays, subjects)
        except ValueError:
            return None


class NoInterval(NamedTuple):
    """A value without an interval, and the reason."""

    value: float
    reason: str


def metric_intervals(
    numbers: Sequence[MetricSample],
    subjects: Shaped[np.ndarray, " sample"],
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> list[Interval | NoInterval | ValueError]:
    """Compute the 95 % interval of each metric.

    Where there are few subjects or events, the interval is the metric's own (`Metric.estimate`);
    elsewhere it is of the bootstrap. An interval of the bootstrap has a width: without one, the
    metric's own is used, or none.

    Args:
        numbers: metrics of the same samples.
        subjects: the subject of each sample.
        rng: draws the resamples.
        resamples: their number.

    Returns:
        For each metric its interval, or its value and the reason why there is no interval, or the
        error of a metric that is undefined.
    """
    made: dict[int, Interval | NoInterval | ValueError] = {}
    values: dict[int, float] = {}
    own: dict[int, Estimate] = {}
    for place, number in enumerate(numbers):
        try:
            values[place] = number.compute(*number.arrays)
        except ValueError as error:
            made[place] = error
            continue
        estimate = number.small_sample(subjects)
        if estimate is not None:
            own[place] = estimate
            if estimate.is_preferred:
                made[place] = estimate.interval()
    drawn = {place: numbers[place] for place in values if place not in made}
    if drawn:
        found = _bootstrap_intervals(drawn, values, subjects, rng=rng, resamples=resamples)
        for place, one in found.items():
            made[place] = one
            if isinstance(one, NoInterval) and place in own:
                made[place] = own[place].interval()
    return [made[place] for place in range(len(numbers))]


def _bootstrap_intervals(
    numbers: Mapping[int, MetricSample],
    values: Mapping[int, float],
    subjects: Shaped[np.ndarray, " sample"],
    *,
    rng: np.random.Generator,
    resamples: int,
) -> dict[int, Interval | NoInterval]:
    arrays = [array for number in numbers.values() for array in number.arrays]

    places: dict[str, list[int]] = {}
    for place, number in numbers.items():
        places.setdefault(number.interval, []).append(place)
    try:
        together = _jointly(list(numbers.values()))
        drawn = resample_metric(together, arrays, subjects, rng=rng, resamples=resamples)
        ends = {
            # What an interval needs besides resamples is computed for its own metrics alone.
            kind: INTERVALS[kind](_jointly([numbers[place] for place in some]), arrays, subjects)
            for kind, some in places.items()
        }
    except ValueError as error:
        return {place: NoInterval(values[place], str(error)) for place in numbers}
    made: dict[int, Interval | NoInterval] = {}
    for column, (place, number) in enumerate(numbers.items()):
        try:
            kept = defined_values(drawn[:, column], number.compute, number.arrays, subjects)
        except ValueError as error:
            made[place] = NoInterval(values[place], str(error))
            continue
        at = places[number.interval].index(place)
        interval = ends[number.interval](Resampled(values[place], kept), at)
        made[place] = interval
        if not interval.high > interval.low:
            made[place] = NoInterval(values[place], NO_WIDTH)
    return made


def _jointly(numbers: Sequence[MetricSample]) -> Weighted:
    """Return several metrics as one of weights: a column for each."""

    def together(weights: Weights, *_: np.ndarray) -> Float[np.ndarray, "resample number"]:
        as_floats = weights.astype(np.float64)  # converted once for all metrics
        return np.stack(
            [
                by_weights(number.compute)(weights, *number.arrays)
                if number.weighted is None
                else number.weighted(as_floats, *number.arrays)
                for number in numbers
            ],
            axis=1,
        )

    return together


# Maps the resampled values of a metric and its column among those of its kind to the interval.
Ends = Callable[[Resampled, int], Interval]


def _percentile(together: Weighted, arrays: Arrays, subjects: np.ndarray) -> Ends:
    del together, arrays, subjects
    return lambda drawn, column: drawn.interval()


def _bca(together: Weighted, arrays: Arrays, subjects: np.ndarray) -> Ends:
    left_out = jackknife(together, arrays, subjects)
    return lambda drawn, column: drawn.bca_interval(left_out[:, column])


INTERVALS = {"bca": _bca, "percentile": _percentile}
