"""Adjust the p-values of comparisons for their number.

The comparisons of a table are one family. Those that a study set beforehand as its primary ones are
a family of their own, so that what else is looked at costs them no power.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from clinical_symile.stats.multiple_testing import benjamini_hochberg, holm
from clinical_symile.tracking.benchmark_tables import MethodComparison
from clinical_symile.tracking.results import Comparison

# A task and a pattern.
_Cells = Collection[tuple[str, str]]


def adjust_p_values(comparisons: Sequence[Comparison], primary: _Cells = ()) -> list[Comparison]:
    """Adjust p-values by Holm's method and by Benjamini and Hochberg's.

    Args:
        comparisons: those of one table.
        primary: each task and pattern whose comparisons were set beforehand; they are one family,
            all others another.

    Returns:
        The comparisons in their order, each with `p_holm`, `p_fdr` and `family`; those without a
        p-value as they are.
    """
    tested = [row for row in comparisons if row.p_value is not None]
    adjusted: dict[int, Comparison] = {}
    for is_primary in (True, False):
        rows = [row for row in tested if ((row.task, row.missingness) in primary) == is_primary]
        p_values = [row.p_value for row in rows if row.p_value is not None]
        family = _family(rows, "primary test" if is_primary else "test")
        both = zip(rows, holm(p_values), benjamini_hochberg(p_values), strict=True)
        for row, p_holm, p_fdr in both:
            adjusted[id(row)] = replace(row, p_holm=p_holm, p_fdr=p_fdr, family=family)
    return [adjusted.get(id(row), row) for row in comparisons]


def adjust_method_comparisons(
    comparisons: Sequence[MethodComparison], primary: _Cells = ()
) -> list[MethodComparison]:
    """Adjust p-values by Holm's method; the arguments are those of `adjust_p_values`."""
    adjusted: dict[int, MethodComparison] = {}
    for is_primary in (True, False):
        rows = [
            row for row in comparisons if ((row.task, row.missingness) in primary) == is_primary
        ]
        p_values = holm([row.p_value for row in rows])
        for row, p_holm in zip(rows, p_values, strict=True):
            adjusted[id(row)] = replace(row, p_holm=p_holm)
    return [adjusted[id(row)] for row in comparisons]


def _family(rows: Sequence[Comparison], kind: str) -> str:
    """Say how many tests a family has, and over what they run."""
    pairs = len({(row.run, row.baseline) for row in rows})
    tasks, patterns = (len({getattr(r, n) for r in rows}) for n in ("task", "missingness"))
    are_losses = all(row.against is not None for row in rows)
    of = _counted(pairs, "run") if are_losses else f"{_counted(pairs, 'pair')} of runs"
    return (
        f"{_counted(len(rows), kind)}: {of}, {_counted(tasks, 'task')}, "
        f"{_counted(patterns, 'pattern')}"
    )


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
