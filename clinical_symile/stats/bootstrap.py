"""Compute confidence intervals by bootstrap over subjects, at 95 % unless stated otherwise.

An interval over samples would be too narrow: those of one subject are not independent. Values of
the same resamples are joint, so that differences, sums and ranks have correct intervals.

Resamples depend on the subjects and the seed alone. Metrics of the same samples, such as those of a
task under many patterns, share the resamples. Each interval is the same as if computed alone.

Source: Davison and Hinkley, "Bootstrap Methods and their Application", Cambridge University Press,
1997: percentile and BCa intervals.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from scipy.special import ndtr, ndtri  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from clinical_symile.stats.estimate import LEVEL, Estimate, Interval, NoInterval
from clinical_symile.stats.resampling import (
    RESAMPLES,
    Arrays,
    Weighted,
    Weights,
    by_weights,
    defined_values,
    jackknife,
    resample_metric,
)

NO_WIDTH = "all resamples give the same value: these data say nothing of its variation."
_ROUNDING = 1e-9


@dataclass(frozen=True, repr=False)
class Resampled:
    """A value and its values in resamples.

    Attributes:
        value: the value on all samples.
        values: the value on each resample in which it is defined.
    """

    value: float
    values: Float[np.ndarray, " resample"]

    @property
    def standard_error(self) -> float:
        """Return the standard deviation over resamples."""
        return float(self.values.std(ddof=1))

    def interval(self, level: float = LEVEL) -> Interval:
        """Return the percentile interval: the central range of the resampled values."""
        low, high = np.quantile(self.values, [(1 - level) / 2, (1 + level) / 2])
        return Interval(self.value, float(low), float(high))

    def bca_interval(
        self, left_out: Float[np.ndarray, " left_out"], level: float = LEVEL
    ) -> Interval:
        """Return the bias-corrected and accelerated (BCa) interval.

        With z₀ = Φ⁻¹(share of resamples below the value, ties half), and the acceleration
        a = Σ d³ / (6 (Σ d²)^1.5), where d is the mean of `left_out` minus each value, the ends are
        the quantiles Φ(z₀ + (z₀ + z) / (1 - a (z₀ + z))) for z = ∓1.96. Where all resamples lie on
        one side of the value, or the value is undefined without some subject, the BCa interval is
        undefined. Then the percentile interval is returned.

        Source: Efron, "Better bootstrap confidence intervals", JASA 82, 1987.
        https://doi.org/10.2307/2289144

        Args:
            left_out: the value without each subject in turn: `jackknife`.
            level: the confidence level.
        """
        # Sums in another order differ in their last digits; this is neither bias nor skewness.
        same = _ROUNDING * max(1.0, abs(self.value))
        level_with = np.abs(self.values - self.value) <= same
        below = ((self.values < self.value) & ~level_with).mean() + level_with.mean() / 2
        apart = left_out.mean() - left_out
        if not 0 < below < 1 or not (np.abs(apart) > same).any() or np.isnan(apart).any():
            return self.interval(level)
        bias = ndtri(below)
        acceleration = (apart**3).sum() / (6 * (apart**2).sum() ** 1.5)
        moved = bias + ndtri([(1 - level) / 2, (1 + level) / 2])
        ends = np.quantile(self.values, ndtr(bias + moved / (1 - acceleration * moved)))
        return Interval(self.value, float(ends[0]), float(ends[1]), "bca")


def bootstrap(
    metric: Callable[..., float],
    arrays: Arrays,
    subjects: Shaped[np.ndarray, " sample"],
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    weighted: Weighted | None = None,
) -> Interval:
    """Compute a metric and its percentile interval over resampled subjects.

    Args:
        metric: called with `arrays`, or with some rows of each.
        arrays: inputs of the metric, one entry per sample.
        subjects: the subject of each sample.
        rng: draws the resamples.
        resamples: number of resamples; a higher level needs more.
        level: the confidence level.
        weighted: the same metric for many resamples at once; None if it has no such form.

    Raises:
        ValueError: fewer than two subjects, arrays of different lengths, or a metric that is
            undefined without one or two of the subjects, as AUROC is where fewer than three have a
            class. A metric says that it is undefined by a ValueError.
    """
    drawn = resample(metric, arrays, subjects, rng=rng, resamples=resamples, weighted=weighted)
    return drawn.interval(level)


def paired_bootstrap(
    metric: Callable[..., float],
    arrays: Arrays,
    baseline: Arrays,
    subjects: Shaped[np.ndarray, " sample"],
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    weighted: Weighted | None = None,
) -> Interval:
    """Compute the difference of a metric between two models on the same samples, and its interval.

    Both models are evaluated on the same resampled subjects, so that shared variation cancels.

    Args:
        metric: called with arrays, or with some rows of each.
        arrays: inputs of the metric for the first model.
        baseline: the same for the second model, row for row.
        subjects: the subject of each sample.
        rng: draws the resamples.
        resamples: number of resamples; a higher level needs more.
        level: the confidence level.
        weighted: the same metric for many resamples at once; see `bootstrap`.

    Raises:
        ValueError: as in `bootstrap`.
    """
    return resample_difference(
        metric, arrays, baseline, subjects, rng=rng, resamples=resamples, weighted=weighted
    ).interval(level)


def resample(
    metric: Callable[..., float],
    arrays: Arrays,
    subjects: Shaped[np.ndarray, " sample"],
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    weighted: Weighted | None = None,
) -> Resampled:
    """Compute a metric on all samples and on each resample by subject; see `bootstrap`."""
    value = metric(*arrays)
    form = weighted or by_weights(metric)
    values = resample_metric(form, arrays, subjects, rng=rng, resamples=resamples)
    return Resampled(value, defined_values(values, metric, arrays, subjects))


def resample_difference(
    metric: Callable[..., float],
    arrays: Arrays,
    baseline: Arrays,
    subjects: Shaped[np.ndarray, " sample"],
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    weighted: Weighted | None = None,
) -> Resampled:
    """Compute the difference of two models on each resample; see `paired_bootstrap`."""
    width, form = len(arrays), weighted or by_weights(metric)

    def difference(weights: Weights, *taken: np.ndarray) -> Float[np.ndarray, " resample"]:
        return form(weights, *taken[:width]) - form(weights, *taken[width:])

    def whole(*taken: np.ndarray) -> float:
        return metric(*taken[:width]) - metric(*taken[width:])

    both = [*arrays, *baseline]
    values = resample_metric(difference, both, subjects, rng=rng, resamples=resamples)
    return Resampled(whole(*both), defined_values(values, whole, both, subjects))


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
    forms = [_of_weights(number) for number in numbers]

    def together(weights: Weights, *_: np.ndarray) -> Float[np.ndarray, "resample number"]:
        as_floats = weights.astype(np.float64)  # converted once for all metrics
        return np.stack([form(weights, as_floats) for form in forms], axis=1)

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


def _of_weights(number: MetricSample) -> Callable[[Weights, np.ndarray], np.ndarray]:
    """Return a metric of weights and of the same as floats; what all share is computed once."""
    weighted, arrays = number.weighted, number.arrays
    if weighted is None:
        slow = by_weights(number.compute)
        return lambda weights, as_floats: slow(weights, *arrays)
    prepare = getattr(weighted, "prepare", None)
    if prepare is None:
        return lambda weights, as_floats: weighted(as_floats, *arrays)
    form = prepare(*arrays)
    return lambda weights, as_floats: form(as_floats)
