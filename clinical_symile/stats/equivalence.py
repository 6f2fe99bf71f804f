"""Small enough not to matter: non-inferiority and equivalence within a margin, and power.

All of it is for a difference whose estimate is about normal with a known standard error, as those
of some tens of subjects and more are. The margin is set before the data are seen, in the units of
the metric, by what a loss would mean for patients; nothing here can choose it.

Sources: Schuirmann, "A comparison of the two one-sided tests procedure and the power approach",
Journal of Pharmacokinetics and Biopharmaceutics 15, 1987, https://doi.org/10.1007/BF01068419.
Chow, Shao, Wang and Lokhnygina, "Sample Size Calculations in Clinical Research", 2017, chapter 3.
"""

import math
from typing import NamedTuple

from scipy.special import ndtr, ndtri

# On each side, so that verdicts are those of the 95 % interval.
ALPHA = 0.025
POWER = 0.8


class NoninferiorityResult(NamedTuple):
    """What two one-sided tests found of a difference that is better the greater it is.

    Attributes:
        p_noninferior: of the claim that no more than the margin is lost.
        p_equivalent: of the claim that the difference is less than the margin, either way.
    """

    p_noninferior: float
    p_equivalent: float

    @property
    def verdict(self) -> str:
        """`equivalent` or else `non-inferior`, at 2.5 % on each side; `not shown` otherwise."""
        if self.p_equivalent < ALPHA:
            return "equivalent"
        return "non-inferior" if self.p_noninferior < ALPHA else "not shown"


def noninferiority_test(
    difference: float, standard_error: float, *, margin: float
) -> NoninferiorityResult:
    """Two one-sided tests of a difference against minus and plus a margin.

    Args:
        difference: estimated, signed so that more is better.
        standard_error: of it.
        margin: what may be lost, above 0.

    Raises:
        ValueError: the margin is not above 0, or the standard error is negative.
    """
    _check(margin, standard_error)
    if standard_error == 0:
        lost, gained = float(difference <= -margin), float(difference >= margin)
    else:
        lost = float(ndtr(-(difference + margin) / standard_error))
        gained = float(ndtr((difference - margin) / standard_error))
    return NoninferiorityResult(lost, max(lost, gained))


def minimum_detectable(standard_error: float, *, power: float = POWER) -> float:
    """The true difference that a two-sided test at 5 % finds so often.

    (z₀.₉₇₅ + z_power) standard errors; the tiny chance to find it the wrong way round is left out.
    """
    return float((ndtri(1 - ALPHA) + ndtri(power)) * standard_error)


def subjects_to_detect(
    difference: float, standard_error: float, n_subjects: int, *, power: float = POWER
) -> int:
    """How many subjects like these a two-sided test at 5 % needs to find a true difference.

    The standard error shrinks with the root of the number of subjects.

    Args:
        difference: that would matter, not 0.
        standard_error: of a difference estimated on `n_subjects`.
        n_subjects: how many these were.
        power: how often it is to be found.

    Raises:
        ValueError: the difference is 0, or the standard error is negative.
    """
    _check(abs(difference), standard_error)
    least = minimum_detectable(standard_error, power=power) / abs(difference)
    return max(2, math.ceil(n_subjects * least**2))


def subjects_for_margin(
    margin: float, standard_error: float, n_subjects: int, *, power: float = POWER
) -> int:
    """How many subjects show non-inferiority so often, where in truth nothing is lost.

    Args:
        margin: as for `noninferiority_test`.
        standard_error: of a difference estimated on `n_subjects`.
        n_subjects: how many these were.
        power: how often it is to be shown.

    Raises:
        ValueError: the margin is not above 0, or the standard error is negative.
    """
    _check(margin, standard_error)
    least = float(ndtri(1 - ALPHA) + ndtri(power)) * standard_error / margin
    return max(2, math.ceil(n_subjects * least**2))


def _check(margin: float, standard_error: float) -> None:
    if not margin > 0:
        raise ValueError(f"a margin or difference of {margin:g}; expected one above 0.")
    if not standard_error >= 0:
        raise ValueError(f"a standard error of {standard_error:g}; expected 0 or more.")
