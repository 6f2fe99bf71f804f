"""No two sizes in a bundle of real subjects differ by less than ten."""

from dataclasses import fields, replace
from itertools import combinations
from typing import Any

import pytest

from clinical_symile.reporting import close_sizes, report_files
from clinical_symile.reporting.close_sizes import (
    distant_counts,
    with_rounded_shares,
    without_close_sizes,
)
from clinical_symile.reporting.record_forms import ROWS
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.tracking.analysis_tables import ANALYSIS_TABLES, RunAnalysis, SubgroupResult
from clinical_symile.tracking.results import Comparison, Result
from tests.helpers.report_data import FIRST, OUTCOME, TASKS, made_cohort
from tests.reporting.test_results import COMPARISON, RESULT

REAL = made_cohort(access="restricted", generator=None)


def _row(pattern: str, n_samples: int, n_subjects: int = 90, **changes: Any) -> Result:
    sizes = {"n_samples": n_samples, "n_subjects": n_subjects}
    return replace(RESULT, task=FIRST, missingness=pattern, **sizes, **changes)


def _data(*rows: Result, cohort: dict[str, Any] = REAL, **changes: Any) -> ReportData:
    return ReportData(results=rows, tasks=TASKS, cohort=cohort, **changes)


def _patterns(data: ReportData) -> list[str]:
    return [row.missingness for row in data.results]


def test_of_two_close_sizes_the_one_of_more_results_stays():
    rows = [_row("observed", 300), _row("complete", 296), _row("complete", 296, metric="mrr")]
    data = without_close_sizes(_data(*rows, _row("mcar-30", 250)))
    assert _patterns(data) == ["complete", "complete", "mcar-30"]
    (reason,) = data.unscored
    assert (reason.missingness, reason.code) == ("observed", "CS-S017")
    assert "fewer than 10 samples" in reason.reason


def test_subjects_and_classes_are_compared_as_samples_are():
    subjects = without_close_sizes(_data(_row("observed", 300, 91), _row("complete", 200, 90)))
    assert _patterns(subjects) == ["observed"]
    one, other, third = (
        replace(_row(pattern, n, n), task=OUTCOME, n_smallest_class=n // 10)
        for pattern, n in (("observed", 400), ("complete", 350), ("mcar-30", 200))
    )
    assert _patterns(without_close_sizes(_data(one, other, third))) == ["observed", "mcar-30"]
    tasks = {**TASKS, "other": {**TASKS[OUTCOME], "outcome": "died"}}
    rows = (one, replace(other, task="other"))
    assert len(without_close_sizes(replace(_data(*rows), tasks=tasks)).results) == 2


def test_synthetic_subjects_keep_every_result():
    data = _data(_row("observed", 300), _row("complete", 296), cohort=made_cohort())
    assert without_close_sizes(data) is data


def test_every_table_loses_what_the_results_lose():
    def compared(pattern: str, n: int) -> Comparison:
        return replace(COMPARISON, task=FIRST, missingness=pattern, n_samples=n, n_subjects=90)

    def group(level: str, pattern: str, n: int | None) -> SubgroupResult:
        same = {"run": "symile-0", "cohort": "c", "task": FIRST, "metric": "m", "digest": "d"}
        none = ("value", "low", "high", "gap", "gap_low", "gap_high", "p_value", "p_holm", "worst")
        about = {"subgroup": "sex", "level": level, "missingness": pattern, "n_tests": 1}
        sizes = {"n_samples": n, "n_subjects": n, "withheld": None}
        return SubgroupResult(**same, **dict.fromkeys(none), **about, **sizes)

    groups = [group("f", "observed", 60), group("f", "mcar-30", 54), group("m", "mcar-30", 66)]
    data = without_close_sizes(
        _data(
            *(_row("observed", 300), _row("complete", 296), _row("mcar-30", 200)),
            comparisons=[compared("observed", 300), compared("complete", 296)],
            losses=[replace(compared("mcar-30", 296), against="complete")],
            results_by_rule=[_row("observed", 300), _row("complete", 296)],
            analysis=RunAnalysis(subgroups=[*groups, group("x", "mcar-30", None)]),
        )
    )
    assert _patterns(data) == ["complete", "mcar-30"]
    assert [row.missingness for row in data.comparisons] == ["complete"]
    assert [row.n_samples for row in data.losses] == [296]
    assert [row.missingness for row in data.results_by_rule] == ["complete"]
    assert [(row.level, row.n_samples) for row in data.analysis.subgroups] == [
        ("f", 54),
        ("m", 66),
        ("x", None),
    ]


@pytest.mark.parametrize("n", [10, 30, 100, 996])
def test_rounded_shares_fit_every_number_of_measurements(n: int):
    for present in range(max(1, n - 9), n + 1):
        shares = {str(hid): hid / present for hid in range(present + 1)}
        rounded = with_rounded_shares(_row("mcar-30", n, hidden=shares)).hidden
        for other in range(max(1, n - 9), n + 1):
            possible = {
                with_rounded_shares(_row("x", n, hidden={"a": k / other})).hidden["a"]
                for k in range(other + 1)
            }
            assert {*rounded.values()} <= possible, (present, other)


def test_distant_counts_are_at_least_ten_apart():
    counts = [*range(100, 140), *[117] * 5]
    kept = distant_counts(counts)
    assert 117 in kept
    assert min(abs(one - other) for one, other in combinations(kept, 2)) >= 10
    assert all(any(abs(one - other) < 10 for other in kept) for one in counts)


def test_every_table_of_a_bundle_whose_rows_have_a_size_is_covered():
    sized = {
        field
        for field, (_, form) in report_files._TABLES.items()
        if "n_samples" in {one.name for one in fields(ROWS[form])}
    }
    assert sized <= {"results", *close_sizes._TABLES, *close_sizes._MORE_TABLES}
    parts = {"calibration", "subgroups"}
    assert {*close_sizes._WHOLE} == {*ANALYSIS_TABLES} - parts
