"""Compute confidence intervals by bootstrap over subjects, at 95 % unless stated otherwise.

All samples of a subject are drawn together, because they are not independent; an interval over
samples would be too narrow.

A resample is a weight for each sample: how often its subject was drawn. Values computed from the
same weights are resampled jointly, so that differences, sums and ranks have correct intervals.

Source: Davison and Hinkley, "Bootstrap Methods and their Application", Cambridge University Press,
1997: percentile and BCa intervals, and resampling of hierarchical data at the upper level.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.special import ndtr, ndtri  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from clinical_symile.stats.required_subjects import fatal_loss

LEVEL = 0.95
RESAMPLES = 1000
# Weights held in memory at a time.
_MAX_WEIGHTS = 2_000_000
# The jackknife leaves out this many subjects or, if there are more, groups of subjects.
_MAX_LEFT_OUT = 1000
_ROUNDING = 1e-9

Arrays = Sequence[Shaped[np.ndarray, " sample"]]
Weights = Int[np.ndarray, "resample sample"]
# Maps weights and arrays to one or several values per row of weights; NaN where undefined.
Weighted = Callable[..., Float[np.ndarray, "resample ..."]]


class Interval(NamedTuple):
    """A value, the ends of its interval, and the method: `percentile` or `bca`."""

    value: float
    low: float
    high: float
    kind: str = "percentile"


@dataclass(frozen=True, repr=False)
class Resampled:
    """A value and its values in resamples.

    Attributes:
        value: on all samples.
        values: on each resample in which it is defined.
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
        undefined, and the percentile interval is returned.

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
        resamples: their number; an interval of a high level needs more.
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
        metric: as in `bootstrap`.
        arrays: of the first model.
        baseline: of the second model, row for row.
        subjects: the subject of each sample.
        rng: draws the resamples.
        resamples: their number; an interval of a high level needs more.
        level: the confidence level.
        weighted: as in `bootstrap`.

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


def resample_metric(
    weighted: Weighted,
    arrays: Arrays,
    subjects: Shaped[np.ndarray, " sample"],
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Float[np.ndarray, "resample ..."]:
    """Compute one or several values jointly on each resample by subject; NaN where undefined.

    Raises:
        ValueError: fewer than two subjects, or arrays of different lengths.
    """
    codes, people = _codes(arrays, subjects)
    at_once = max(1, _MAX_WEIGHTS // max(len(codes), 1))
    parts: list[np.ndarray] = []
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = rng.integers(people, size=(rows, people))
        drawn += people * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * people).reshape(rows, people)
        parts.append(weighted(counts.take(codes, axis=1), *arrays))
    return np.concatenate(parts)


def jackknife(
    weighted: Weighted, arrays: Arrays, subjects: Shaped[np.ndarray, " sample"]
) -> Float[np.ndarray, "left_out ..."]:
    """Compute values without each subject in turn; above 1,000, without each of 1,000 groups.

    In expectation a group adds as much to the sum of squared or cubed differences as its subjects
    add one by one, so that the acceleration of BCa can be estimated either way.

    Raises:
        ValueError: as in `resample_metric`.
    """
    codes, people = _codes(arrays, subjects)
    groups = min(people, _MAX_LEFT_OUT)
    group = codes % groups
    at_once = max(1, _MAX_WEIGHTS // max(len(codes), 1))
    parts = [
        weighted((group[None, :] != left_out[:, None]).astype(np.int64), *arrays)
        for left_out in np.array_split(np.arange(groups), -(-groups // at_once))
    ]
    return np.concatenate(parts)


def by_weights(metric: Callable[..., float]) -> Weighted:
    """Turn a metric of arrays into one of weights; slow, but correct for any metric."""

    def weighted(weights: Weights, *arrays: np.ndarray) -> Float[np.ndarray, " resample"]:
        values = np.full(len(weights), np.nan)
        for place, row in enumerate(_rows(weights)):
            try:
                values[place] = metric(*(array[row] for array in arrays))
            except ValueError:
                continue
        return values

    return weighted


def defined_values(
    values: Float[np.ndarray, " resample"],
    metric: Callable[..., float],
    arrays: Arrays,
    subjects: Shaped[np.ndarray, " sample"],
) -> Float[np.ndarray, " defined"]:
    """Return the resamples in which a metric is defined.

    Raises:
        ValueError: the metric is undefined without some one or two subjects; the message has the
            metric's own reason.
    """

    def reason(kept: Bool[np.ndarray, " sample"]) -> str | None:
        try:
            value = metric(*(array[kept] for array in arrays))
        except ValueError as error:
            return str(error)
        return "it is not a number there." if np.isnan(value) else None

    lost = np.isnan(values)
    if not lost.any():  # of a metric that depends on two subjects, some resamples are undefined
        return values
    left = fatal_loss(lambda kept: reason(kept) is None, subjects)
    if left is not None:
        raise ValueError(
            "the metric is undefined without one or two of the subjects, too few for an interval: "
            f"{reason(left)}"
        )
    return values[~lost]


def _codes(
    arrays: Arrays, subjects: Shaped[np.ndarray, " sample"]
) -> tuple[Int[np.ndarray, " sample"], int]:
    """Return each sample's subject as a number from 0, and the number of subjects."""
    lengths = {len(array) for array in arrays}
    if lengths != {len(subjects)}:
        raise ValueError(
            f"arrays of length {', '.join(map(str, sorted(lengths)))} for "
            f"{len(subjects)} samples; expected one entry per sample in each."
        )
    people, codes = np.unique(subjects, return_inverse=True)
    if len(people) < 2:
        raise ValueError(
            "an interval over subjects needs at least 2 of them. Evaluate on more subjects."
        )
    return codes, len(people)


def _rows(weights: Weights) -> Iterator[Int[np.ndarray, " drawn"]]:
    """Yield each resample as row numbers."""
    places = np.arange(int(weights.shape[1]))
    for counts in weights:
        yield np.repeat(places, counts)
