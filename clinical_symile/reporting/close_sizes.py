"""Leave out of a bundle what a count below ten follows from by subtraction.

Rows state sizes exactly, and values to the last digit, from which sizes follow as well. With 1,000
samples under one pattern and 996 under another one that it contains, 4 lack a measurement. Reports
write such a size as a bound, which a row cannot. Rows on synthetic subjects stay: no person has
these measurements.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import floor, log10
from typing import Any

from clinical_symile.formatting import SMALLEST_COUNT
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.tracking.analysis_tables import RunAnalysis
from clinical_symile.tracking.disclosure import Cell, shareable
from clinical_symile.tracking.results import Result, SkippedResult

_REASON = (
    f"fewer than {SMALLEST_COUNT} samples, subjects or samples of a class more or less than "
    "another result: withheld from the bundle."
)
_MOST_DECIMALS = 2
_SIZES = ("n_samples", "n_subjects")
# The fields of `ReportData` whose rows are results or differences on the samples of a result.
_TABLES = ("comparisons", "losses", "seeds", "methods_compared", "net_benefit_differences")
_MORE_TABLES = ("robustness", "masks", "results_by_rule", "above_best")
# The tables of an analysis on all samples of a result; the others are on parts of them.
_WHOLE = ("measures", "net_benefit", "modality_value")


def without_close_sizes(data: ReportData) -> ReportData:
    """Return the data of a report without results whose sizes differ by less than ten.

    Of two such sizes, the one of more rows stays. Shares of hidden measurements are rounded, so
    that the number of measurements does not follow from them.
    """
    if data.synthetic:
        return data
    tables = {name: getattr(data, name) for name in ("results", *_TABLES, *_MORE_TABLES)}
    analysis = {name: getattr(data.analysis, name) for name in vars(data.analysis)}
    whole = [*tables.values(), *(analysis[name] for name in _WHOLE)]
    is_close = _close_sizes([row for table in whole for row in table])
    hidden = {_cell(row) for row in data.results if is_close(row)}
    rest = [row for row in data.results if _cell(row) not in hidden]
    hidden |= _close_classes(rest, data.tasks)
    left_out = [row for row in data.results if _cell(row) in hidden]
    tables = {name: _kept(rows, hidden, is_close) for name, rows in tables.items()}
    for name in ("results", "results_by_rule"):
        tables[name] = [with_rounded_shares(row) for row in tables[name]]
    analysis = {
        name: _kept(rows, hidden, is_close) if name in _WHOLE else shareable(rows, hidden)
        for name, rows in analysis.items()
    }
    analysis["subgroups"] = _distant_groups(analysis["subgroups"])
    unscored = [*data.unscored, *map(_skipped, left_out)]
    return replace(data, **tables, analysis=RunAnalysis(**analysis), unscored=unscored)


def with_rounded_shares(row: Result) -> Result:
    """Return a result whose shares of hidden measurements fit any number of measurements.

    They have two decimals, or fewer where two would fit few numbers: steps are no smaller than what
    one of the measurements changes, if nine samples at most lack one.
    """
    least = max(row.n_samples - SMALLEST_COUNT + 1, 1)
    decimals = min(floor(log10(least)), _MOST_DECIMALS)
    return replace(row, hidden={name: round(share, decimals) for name, share in row.hidden.items()})


def distant_counts(counts: Iterable[int]) -> set[int]:
    """Return counts of which no two differ by less than ten; the most frequent come first.

    >>> sorted(distant_counts([100, 97, 97, 60]))
    [60, 97]
    """
    frequency, kept = Counter(counts), set[int]()
    for count in sorted(frequency, key=lambda count: (-frequency[count], -count)):
        if all(abs(count - other) >= SMALLEST_COUNT for other in kept):
            kept.add(count)
    return kept


def _close_sizes(rows: Sequence[Any]) -> Callable[[Any], bool]:
    """Return a function that is True for a row whose sizes may not be shared."""
    distant: dict[str, set[int]] = {}

    def is_close(row: Any) -> bool:
        sizes = {key: getattr(row, key, None) for key in distant}
        return any(size is not None and size not in distant[key] for key, size in sizes.items())

    for key in _SIZES:
        rows = [row for row in rows if not is_close(row)]
        distant[key] = distant_counts(getattr(row, key) for row in rows if hasattr(row, key))
    return is_close


def _close_classes(rows: Sequence[Result], tasks: Mapping[str, Mapping[str, Any]]) -> set[Cell]:
    """Return the run, task and pattern of results whose smallest class may not be shared.

    Only classes of the same outcomes are compared: those of others are of other samples.
    """
    by_outcome: dict[Hashable, list[Result]] = defaultdict(list)
    for row in rows:
        if row.n_smallest_class is not None:
            by_outcome[str(tasks[row.task].get("outcome"))].append(row)
    hidden: set[Cell] = set()
    for same in by_outcome.values():
        distant = distant_counts(row.n_smallest_class or 0 for row in same)
        hidden |= {_cell(row) for row in same if row.n_smallest_class not in distant}
    return hidden


def _kept(rows: Sequence[Any], hidden: set[Cell], is_close: Callable[[Any], bool]) -> list[Any]:
    return [row for row in shareable(rows, hidden) if not is_close(row)]


def _distant_groups(rows: Sequence[Any]) -> list[Any]:
    """Leave out rows of a group whose size is close to that of the same group elsewhere."""
    by_group: dict[Hashable, list[Any]] = defaultdict(list)
    for row in rows:
        if row.n_samples is not None:
            by_group[row.subgroup, row.level].append(row)
    is_close = {group: _close_sizes(same) for group, same in by_group.items()}
    return [
        row for row in rows if row.n_samples is None or not is_close[row.subgroup, row.level](row)
    ]


def _cell(row: Result) -> Cell:
    return (row.run, row.task, row.missingness)


def _skipped(row: Result) -> SkippedResult:
    same = {key: getattr(row, key) for key in ("run", "cohort", "task", "missingness")}
    more = {"metric": row.metric, "digest": row.digest, "code": "CS-S017"}
    return SkippedResult(**same, **more, reason=_REASON)
