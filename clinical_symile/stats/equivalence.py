"""Test non-inferiority and equivalence within a margin, and compute power and sample size.

The estimate of the difference must be approximately normal with a known standard error, as it is
from some tens of subjects on. Choose the margin before you see the data, in units of the metric,
from what a loss would mean for patients. Nothing here can choose it.

Sources: Schuirmann, "A comparison of the two one-sided tests procedure and the power approach",
Journal of Pharmacokinetics and Biopharmaceutics 15, 1987, https://doi.org/10.1007/BF01068419.
Chow, Shao, Wang and Lokhnygina, "Sample Size Calculations in Clinical Research", 2017, chapter 3.
"""

import math
from typing import Literal, NamedTuple

from scipy.special import ndtr, ndtri, stdtr, stdtrit  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from clinical_symile.stats.estimate import Estimate, StudentEstimate

# On each side, so that verdicts agree with the 95 % interval.
ALPHA = 0.025
POWER = 0.8
Claim = Literal["non-inferiority", "equivalence"]


class NoninferiorityResult(NamedTuple):
    """Results of two one-sided tests of a difference; greater is better.

    Attributes:
        p_noninferior: p-value of the claim that the loss is less than the margin.
        p_equivalent: p-value of the claim that the difference is less than the margin either way.
    """

    p_noninferior: float
    p_equivalent: float

    @property
    def verdict(self) -> str:
        """Return `equivalent`, `non-inferior` or `not shown`, at 2.5 % on each side."""
        if self.p_equivalent < ALPHA:
            return "equivalent"
        return "non-inferior" if self.p_noninferior < ALPHA else "not shown"


def noninferiority_test(
    difference: float, standard_error: float, *, margin: float, degrees: float = math.inf
) -> NoninferiorityResult:
    """Test a difference against minus and plus a margin, each one-sided.

    Args:
        difference: the estimate, signed so that more is better.
        standard_error: standard error of the estimate.
        margin: the acceptable loss, above 0.
        degrees: degrees of freedom of the standard error; infinite for the normal
            distribution.

    Raises:
        ValueError: the margin is not above 0, or the standard error is negative.
    """
    _check(margin, standard_error)
    if standard_error == 0:
        lost, gained = float(difference <= -margin), float(difference >= margin)
    else:
        lost = _upper_tail((difference + margin) / standard_error, degrees)
        gained = _upper_tail(-(difference - margin) / standard_error, degrees)
    return NoninferiorityResult(lost, max(lost, gained))


def noninferiority_by_limits(
    estimate: Estimate | StudentEstimate, *, margin: float, higher_is_better: bool
) -> NoninferiorityResult:
    """Test a difference against minus and plus a margin, by its confidence limits at every level.

    Args:
        estimate: the difference, in units of the metric.
        margin: the acceptable loss, above 0.
        higher_is_better: the direction of improvement.

    Raises:
        ValueError: the margin is not above 0.
    """
    _check(margin, 0.0)
    below, above = _one_sided(estimate, -margin), 1 - _one_sided(estimate, margin)
    lost, gained = (below, above) if higher_is_better else (above, below)
    return NoninferiorityResult(lost, max(lost, gained))


def margin_by_limits(estimate: Estimate | StudentEstimate, *, higher_is_better: bool) -> float:
    """Return the smallest margin for which `noninferiority_by_limits` shows non-inferiority."""
    interval = estimate.interval(1 - 2 * ALPHA)
    return max(0.0, -interval.low if higher_is_better else interval.high)


def _one_sided(estimate: Estimate | StudentEstimate, null: float) -> float:
    """Return the p-value of the claim that the difference is above a null value."""
    half = estimate.p_value(null) / 2
    return half if null <= estimate.value else 1 - half


def _upper_tail(z: float, degrees: float) -> float:
    return float(ndtr(-z)) if math.isinf(degrees) else float(stdtr(degrees, -z))


def minimum_detectable(standard_error: float, *, power: float = POWER) -> float:
    """Return the true difference that a two-sided test at 5 % detects with this power.

    It is (z₀.₉₇₅ + z_power) standard errors, without the tiny chance of the wrong sign.
    """
    return float((ndtri(1 - ALPHA) + ndtri(power)) * standard_error)


def subjects_to_detect(
    difference: float, standard_error: float, n_subjects: int, *, power: float = POWER
) -> int:
    """Return the number of subjects that a two-sided test at 5 % needs to detect a difference.

    The standard error falls with the square root of the number of subjects.

    Args:
        difference: the true difference to detect, not 0.
        standard_error: standard error of a difference estimated on `n_subjects`.
        n_subjects: the number of subjects of that estimate.
        power: the chance to detect it.

    Raises:
        ValueError: the difference is 0, or the standard error is negative.
    """
    _check(abs(difference), standard_error)
    least = minimum_detectable(standard_error, power=power) / abs(difference)
    return max(2, math.ceil(n_subjects * least**2))


def subjects_for_margin(
    margin: float,
    standard_error: float,
    n_subjects: int,
    *,
    claim: Claim,
    power: float = POWER,
) -> int:
    """Return the number of subjects that shows a claim if there is no difference in truth.

    For equivalence both one-sided tests must succeed, so that each may fail with half of 1 - power
    only; this takes more subjects than non-inferiority.

    Args:
        margin: the acceptable loss, above 0.
        standard_error: standard error of a difference estimated on `n_subjects`.
        n_subjects: the number of subjects of that estimate.
        claim: what is to be shown.
        power: the chance to show it.

    Raises:
        ValueError: the margin is not above 0, or the standard error is negative.
    """
    _check(margin, standard_error)
    chance = power if claim == "non-inferiority" else (1 + power) / 2
    reach = float(ndtri(1 - ALPHA) + ndtri(chance))
    return max(2, math.ceil(n_subjects * (reach * standard_error / margin) ** 2))


def smallest_margin(
    difference: float, standard_error: float, *, degrees: float = math.inf
) -> float:
    """Return the smallest margin for which `noninferiority_test` shows non-inferiority.

    Args:
        difference: the estimate, signed so that more is better.
        standard_error: standard error of the estimate.
        degrees: degrees of freedom of the standard error; infinite for the normal
            distribution.
    """
    infinite = math.isinf(degrees)
    quantile = ndtri(1 - ALPHA) if infinite else stdtrit(degrees, 1 - ALPHA)
    return max(0.0, float(quantile * standard_error - difference))


def _check(margin: float, standard_error: float) -> None:
    if not margin > 0:
        raise ValueError(f"the margin or difference is {margin:g}; expected a number above 0.")
    if not standard_error >= 0:
        raise ValueError(f"the standard error is {standard_error:g}; expected 0 or more.")
