"""Compute how many subjects a wanted difference needs, from the variance of finished comparisons.

A comparison of two runs on n subjects has a standard error. It falls with the square root of n, if
further subjects are like these: as many samples each, as much missing, the outcome as frequent.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from clinical_symile.formatting import SMALLEST_COUNT
from clinical_symile.stats.equivalence import POWER, subjects_for_margin, subjects_to_detect
from clinical_symile.tracking.results import Comparison

ENOUGH_FOR_NORMAL = 30
"""With fewer subjects than this a difference is not approximately normal."""
AMONG_ALL = (
    "the candidates are all samples: more subjects are more candidates, and another question"
)
"""Why the variance of a retrieval task among all samples tells nothing of larger studies."""


@dataclass(frozen=True, kw_only=True)
class SampleSize:
    """The number of subjects that a comparison of two runs needs for each claim.

    Attributes:
        run: the run in question.
        baseline: the run it is compared with.
        task: the task's name.
        missingness: the pattern.
        against: the pattern of the baseline, where it differs.
        metric: the metric of the difference.
        standard_error: standard error of the observed difference; None where it is not known.
        superior: subjects to detect the wanted difference; None where it was not given.
        non_inferior: subjects to show that the loss is less than the margin, if there is none.
        equivalent: subjects to show that the difference is less than the margin either way, if
            there is none.
        reason: why no number is given; None where numbers are.
    """

    run: str
    baseline: str
    task: str
    missingness: str
    against: str | None
    metric: str
    standard_error: float | None = None
    superior: int | None = None
    non_inferior: int | None = None
    equivalent: int | None = None
    reason: str | None = None


def sample_sizes(
    rows: Sequence[Comparison],
    *,
    difference: float | None = None,
    margin: float | None = None,
    power: float = POWER,
    among_all: Collection[str] = (),
) -> list[SampleSize]:
    """Compute the numbers of subjects for each comparison; tests are two-sided at 5 %.

    Args:
        rows: finished comparisons.
        difference: the true difference to detect, in units of the metric.
        margin: the largest loss that still counts as harmless.
        power: the chance to show the claim.
        among_all: the retrieval tasks whose candidates are all samples; they get a reason instead.

    Raises:
        ValueError: neither or no valid difference or margin is given, or the power is not between
            0.5 and 1.
    """
    if difference is None and margin is None:
        raise ValueError("neither a difference nor a margin is given; expected one at least.")
    if not 0.5 <= power < 1:
        raise ValueError(f"the power is {power:g}; expected a number from 0.5 to below 1.")
    return [
        _without_number(row, AMONG_ALL)
        if row.task in among_all
        else _sample_size(row, difference, margin, power)
        for row in rows
    ]


def _without_number(row: Comparison, reason: str) -> SampleSize:
    return SampleSize(**_about(row), reason=reason)


def _about(row: Comparison) -> dict[str, Any]:
    names = ("run", "baseline", "task", "missingness", "against", "metric")
    return {name: getattr(row, name) for name in names}


def _sample_size(
    row: Comparison, difference: float | None, margin: float | None, power: float
) -> SampleSize:
    about, error, n = _about(row), row.standard_error, row.n_subjects
    if min(n, row.n_samples) < SMALLEST_COUNT:
        return SampleSize(**about, reason=f"fewer than {SMALLEST_COUNT} subjects")
    if error is None:
        return SampleSize(**about, reason="no standard error")
    if error == 0:
        return SampleSize(**about, reason="the runs do not differ on any sample")
    claims: dict[str, Any] = {}
    if difference is not None:
        claims["superior"] = subjects_to_detect(difference, error, n, power=power)
    if margin is not None:
        claims["non_inferior"] = subjects_for_margin(
            margin, error, n, claim="non-inferiority", power=power
        )
        claims["equivalent"] = subjects_for_margin(
            margin, error, n, claim="equivalence", power=power
        )
    return SampleSize(**about, standard_error=error, **claims)
