"""Round sizes, and the numbers from which sizes follow, in what leaves a run's folder.

Two exact sizes tell the number of subjects between them: with 412 samples under one pattern and 406
under another one that it contains, 6 lack a measurement. So sizes of real subjects are rounded down
to multiples of ten wherever they leave the folder. No two of them differ by 1 to 9, in whatever
tables, copies and versions they are. Limits such as "fewer than 30 subjects" hold as before.

Other numbers tell sizes too. A share of n samples is a multiple of 1/n: of 60 to 69 samples, only
60 have a share of 0.617. So numbers are multiples of a step that is no smaller than what one sample
changes. Every size that is rounded alike then fits. docs/explanation/small_counts.md lists what
tells a size, and what a step costs.

The rounding depends on a row alone. Rows that leave at different times, or in different files, tell
no more together. The folder keeps the exact rows.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from functools import cache
from typing import Any, TypeVar, get_type_hints

from clinical_symile.formatting import (
    SMALLEST_COUNT,
    bound_subject_counts,
    format_count,
    format_nested_counts,
)
from clinical_symile.tracking.results import DataclassInstance, Result, SkippedResult

SIZE_GRAIN = 10
ROUNDED = (
    f"Numbers of samples and subjects are rounded down to multiples of {SIZE_GRAIN}, and other "
    "numbers are rounded to what one sample changes, so that no small count follows."
)

_Row = TypeVar("_Row", bound=DataclassInstance)
SIZES = ("n_samples", "n_subjects", "n_smallest_class", "bank_size")
"""The fields that count samples or subjects."""
# Of rows that state no size, such as the AUROC of a mask: a step that fits ten events and more.
_STEP_WITHOUT_SIZE = 0.01
_STEPS = (1.0, 2.0, 5.0)
# Spreads need digits, not decimals; p-values keep more, so that none crosses 0.05 by rounding.
_DIGITS: Mapping[str, int] = {
    **dict.fromkeys(("standard_error", "detectable", "people", "seeds", "both", "between"), 2),
    **dict.fromkeys(("seeds_low", "seeds_high"), 2),
    **dict.fromkeys(("p_value", "p_holm", "p_fdr", "p_noninferior", "p_equivalent"), 3),
}
# Chosen by the user, not computed from data.
_GIVEN = {"margin", "threshold", "expected"}
_AT_K = re.compile(r"(recall|ndcg)_at_(?P<k>\d+)")
# The constant of Euler and Mascheroni, and an error of numbers that were solved for.
_EULER, _NEARLY = 0.5772156649015329, 1e-3
_LEAST_SHARE_STEP = 0.05
# Shares of the samples of a class, which the row does not count: at least ten.
_OF_CLASS = ("conformal/coverage_positive", "conformal/coverage_negative")
_LEAST_MASK_STEP = 0.01


def rounded_size(n: int) -> int:
    """Return a size as it leaves the folder: rounded down to a multiple of ten.

    >>> [rounded_size(n) for n in (9, 10, 19, 406, 412)]
    [0, 10, 10, 400, 410]
    """
    return n // SIZE_GRAIN * SIZE_GRAIN


def value_step(n: int) -> float:
    """Return the step of numbers on some samples: 1, 2 or 5 with a power of ten.

    It is at least 1 divided by the smallest size that is rounded as this one is. So each multiple
    of it is a share that every size of these has, if rounded.

    >>> [value_step(n) for n in (12, 30, 60, 412, 10_000)]
    [0.1, 0.05, 0.02, 0.005, 0.0001]
    """
    return _step_of_at_least(1 / max(rounded_size(n), SMALLEST_COUNT))


def rounded_number(value: float | None, step: float) -> float | None:
    """Return a number as a multiple of a step; one that would become 0 keeps one digit.

    So an interval that excludes 0 still does.

    >>> rounded_number(0.617, 0.02), rounded_number(0.0024, 0.005), rounded_number(-0.3, 0.05)
    (0.62, 0.002, -0.3)
    """
    if value is None or not math.isfinite(value):
        return value
    nearest = round(round(value / step) * step, 10)
    return _with_digits(value, 1) if nearest == 0 else nearest


def rounded_rows(rows: Iterable[_Row], *, step: float | None = None) -> list[_Row]:
    """Return rows as they leave the folder: sizes and numbers are rounded, also those in reasons.

    Args:
        rows: of any table; a row that is rounded stays as it is.
        step: of numbers in rows without a size of their own; None for 0.01.
    """
    return [_rounded(row, step or _STEP_WITHOUT_SIZE) for row in rows]


def _rounded(row: _Row, step: float) -> _Row:
    if isinstance(row, Result) and row.rounded:
        return row
    if isinstance(row, SkippedResult):
        return replace(row, reason=bound_subject_counts(row.reason))
    size = getattr(row, "n_samples", None)
    step = step if size is None else value_step(size)
    if getattr(row, "measure", None) in _OF_CLASS:
        step = max(step, _LEAST_SHARE_STEP)
    changes: dict[str, Any] = {}
    for name in _numbers(type(row)):
        value = getattr(row, name)
        if name in _DIGITS:
            changes[name] = value if value is None else _with_digits(value, _DIGITS[name])
        else:
            changes[name] = rounded_number(value, step)
    for name in SIZES:
        value = getattr(row, name, None)
        if value is not None:
            changes[name] = rounded_size(value)
    if isinstance(row, Result):
        changes |= _of_result(row, step)
    return replace(row, **changes)


def _of_result(row: Result, step: float) -> dict[str, Any]:
    shares, masks = max(step, _LEAST_SHARE_STEP), max(step, _LEAST_MASK_STEP)
    numbers = row.mask_statistics.items()
    return {
        "rounded": True,
        "chance": rounded_chance(row),
        "hidden": {name: rounded_number(value, shares) for name, value in row.hidden.items()},
        "mask_statistics": {name: rounded_number(value, masks) for name, value in numbers},
    }


def rounded_chance(row: Result) -> float | None:
    """Return the chance level of a result, from which its number of candidates does not follow.

    Where the candidates are about as many as the samples, they are samples themselves: the chance
    level is that of their number rounded. It stays for the few candidates of a list.
    """
    step = value_step(row.n_samples)
    if row.chance is None or row.chance <= 0:
        return row.chance
    candidates = int(_candidates(row.metric, row.chance) + _NEARLY)
    if not candidates:
        return rounded_number(row.chance, step)
    if candidates < max(row.n_samples / 2, SMALLEST_COUNT):
        return row.chance
    return _chance(row.metric, rounded_size(candidates))


def _candidates(metric: str, chance: float) -> float:
    """Return the number of candidates that gives a chance level; 0 if it depends on none."""
    if metric == "median_rank":
        return 2 * chance - 1
    if metric == "mean_reciprocal_rank":
        low, high = 1.0, 2.0**40
        while high - low > _NEARLY / 10:
            middle = (low + high) / 2
            low, high = (low, middle) if _reciprocal(middle) < chance else (middle, high)
        return low
    return _total(metric) / chance


def _chance(metric: str, candidates: int) -> float:
    if metric == "median_rank":
        return (candidates + 1) / 2
    if metric == "mean_reciprocal_rank":
        return _reciprocal(float(candidates))
    return min(_total(metric) / candidates, 1.0)


def _total(metric: str) -> float:
    """Return the sum of what the first ranks gain; 0 for a metric that has none."""
    found = _AT_K.match(metric)
    if not found:
        return 0.0
    k = int(found["k"])
    is_recall = metric.startswith("recall")
    return float(k) if is_recall else sum(1 / math.log2(rank + 1) for rank in range(1, k + 1))


def _reciprocal(candidates: float) -> float:
    """Return the mean of 1 / rank: the harmonic number, by its series, over its index."""
    n = candidates
    return (math.log(n) + _EULER + 1 / (2 * n) - 1 / (12 * n * n)) / n


def sizes_in_words(rows: Iterable[Result], size: str = "n_samples") -> dict[int, str]:
    """Return the sizes of results for readers; a rounded one is a bound.

    Args:
        rows: the results.
        size: one of `SIZES`.
    """
    rows = list(rows)
    numbers = [getattr(row, size) for row in rows]
    if not any(row.rounded for row in rows):
        return format_nested_counts(numbers)
    few = format_count(1)
    return {n: f"\N{GREATER-THAN OR EQUAL TO}{format_count(n)}" if n else few for n in numbers}


@cache
def _numbers(kind: type[Any]) -> tuple[str, ...]:
    """Return the fields of a row whose numbers are rounded: all that are not given."""
    hints = get_type_hints(kind)
    names = (one.name for one in fields(kind) if hints[one.name] in (float, float | None))
    return tuple(name for name in names if name not in _GIVEN)


def _step_of_at_least(smallest: float) -> float:
    """Return the smallest of 1, 2 and 5 with a power of ten that is not below a number."""
    power = math.floor(math.log10(smallest))
    steps = [round(one * 10.0**exponent, 12) for exponent in (power, power + 1) for one in _STEPS]
    return next(step for step in steps if step >= smallest * (1 - 1e-9))


def _with_digits(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")
