"""Represent an estimate by its confidence limits at every level, and combine estimates.

The methods of this package for few subjects give limits for any level. From limits follow the
interval, the p-value of a null value (the level at which the limit reaches it), and the limits of a
weighted sum of two estimates (MOVER, the method of variance estimates recovery).

Source: Zou and Donner, "Construction of confidence limits about effect measures: a general
approach", Statistics in Medicine 27, 2008, https://doi.org/10.1002/sim.3095; equations 8 and 9.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri, stdtr, stdtrit  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

LEVEL = 0.95
# With fewer subjects than this, counted by Kish's effective number, resamples do not suffice.
ENOUGH_SUBJECTS = 100
# With fewer effective successes or failures than this, they do not suffice either.
ENOUGH_EVENTS = 20

Quantiles = Float[np.ndarray, " level"]
# Maps standard normal quantiles, such as 1.96, to lower and upper limits.
Limits = Callable[[Quantiles], tuple[Quantiles, Quantiles]]

_GRID = np.linspace(0.0, 8.0, 801)


class Interval(NamedTuple):
    """A value with its confidence interval.

    Attributes:
        value: the value.
        low: lower end of the interval.
        high: upper end of the interval.
        kind: method of the interval, such as `percentile` or `score`.
    """

    value: float
    low: float
    high: float
    kind: str = "percentile"


class NoInterval(NamedTuple):
    """A value without an interval, and the reason."""

    value: float
    reason: str


@dataclass(frozen=True, eq=False)
class Estimate:
    """A value with its confidence limits at every level.

    Attributes:
        value: the estimate.
        limits: lower and upper limits for standard normal quantiles.
        method: names the method in results.
        is_preferred: whether its interval is used rather than that of the bootstrap.
    """

    value: float
    limits: Limits
    method: str
    is_preferred: bool

    def interval(self, level: float = LEVEL) -> Interval:
        """Return the confidence interval at a level."""
        low, high = self.limits(np.array([ndtri((1 + level) / 2)]))
        return Interval(self.value, float(low[0]), float(high[0]), self.method)

    @property
    def standard_error(self) -> float:
        """Return that of a normal distribution with an interval of the same width."""
        low, high = self.interval()[1:3]
        return (high - low) / float(2 * ndtri((1 + LEVEL) / 2))

    def p_value(self, null: float = 0.0) -> float:
        """Return the two-sided p-value: 1 minus the level at which the interval reaches `null`."""
        low, high = self.limits(_GRID)
        reach = null - low if null <= self.value else high - null
        inside = reach >= 0
        if null == self.value or inside[0]:
            return 1.0
        if not inside.any():
            return float(2 * ndtr(-_GRID[-1]))
        place = int(np.argmax(inside))
        before, after = reach[place - 1], reach[place]
        share = before / (before - after)
        z = _GRID[place - 1] + share * (_GRID[place] - _GRID[place - 1])
        return float(2 * ndtr(-z))


@dataclass(frozen=True)
class StudentEstimate:
    """A difference whose limits are Student's around an adjusted centre.

    Attributes:
        value: the observed difference.
        centre: the middle of its intervals.
        standard_error: of the centre.
        degrees: of freedom.
        method: names the method in results.
        is_preferred: whether its interval is used rather than that of the bootstrap.
        reach: the largest possible difference either way; limits go no further.
    """

    value: float
    centre: float
    standard_error: float
    degrees: float
    method: str
    is_preferred: bool
    reach: float = math.inf

    def interval(self, level: float = LEVEL) -> Interval:
        """Return the confidence interval at a level."""
        half = float(stdtrit(self.degrees, (1 + level) / 2)) * self.standard_error
        low, high = max(self.centre - half, -self.reach), min(self.centre + half, self.reach)
        return Interval(self.value, low, high, self.method)

    def p_value(self, null: float = 0.0) -> float:
        """Return the two-sided p-value of the null value."""
        return float(2 * stdtr(self.degrees, -abs(self.centre - null) / self.standard_error))


def weighted_sum(
    one: Estimate,
    other: Estimate,
    *,
    weights: tuple[float, float] = (1.0, -1.0),
    correlation: float = 0.0,
    method: str = "MOVER",
) -> Estimate:
    """Return the estimate of a weighted sum of two estimates, by default of their difference.

    Args:
        one: the first estimate.
        other: the second.
        weights: of the two.
        correlation: of the two estimates.
        method: names the method in results.
    """
    a, b = weights
    sign = correlation * np.sign(a * b)

    def limits(z: Quantiles) -> tuple[Quantiles, Quantiles]:
        down_a, up_a = _distances(one, a, z)
        down_b, up_b = _distances(other, b, z)
        value = a * one.value + b * other.value
        return (
            value - _length(down_a, down_b, sign),
            value + _length(up_a, up_b, sign),
        )

    value = a * one.value + b * other.value
    return Estimate(value, limits, method, one.is_preferred or other.is_preferred)


def shift(one: Estimate, by: float) -> Estimate:
    """Return an estimate plus a constant."""

    def limits(z: Quantiles) -> tuple[Quantiles, Quantiles]:
        low, high = one.limits(z)
        return low + by, high + by

    return Estimate(one.value + by, limits, one.method, one.is_preferred)


def smaller(one: Estimate, other: Estimate) -> Estimate:
    """Return the estimate of the smaller of two values; its limits hold whichever it is."""

    def limits(z: Quantiles) -> tuple[Quantiles, Quantiles]:
        (low, high), (other_low, other_high) = one.limits(z), other.limits(z)
        return np.minimum(low, other_low), np.minimum(high, other_high)

    value = min(one.value, other.value)
    return Estimate(value, limits, one.method, one.is_preferred or other.is_preferred)


def _distances(one: Estimate, weight: float, z: Quantiles) -> tuple[Quantiles, Quantiles]:
    """Return the distances from a weighted value to its lower and upper limits."""
    low, high = one.limits(z)
    down, up = weight * (one.value - low), weight * (high - one.value)
    return (down, up) if weight >= 0 else (-up, -down)


def _length(first: Quantiles, second: Quantiles, sign: float) -> Quantiles:
    return np.sqrt(np.maximum(first**2 + second**2 + 2 * sign * first * second, 0.0))
