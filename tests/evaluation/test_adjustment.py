"""Adjusted p-values of primary comparisons and of all others, by hand."""

from dataclasses import replace

import pytest

from clinical_symile.evaluation.adjustment import adjust_method_comparisons, adjust_p_values
from clinical_symile.tracking.benchmark_tables import MethodComparison
from tests.helpers.report_data import FIRST, made_comparison

PRIMARY = {(FIRST, "without-ecg"), (FIRST, "without-labs")}
# By pattern: p, p (Holm) if two of the patterns are primary, and if none is.
BY_HAND = {
    "complete": (0.01, 0.02, 0.04),  # 2 x 0.01; 4 x 0.01
    "without-ecg": (0.02, 0.04, 0.06),  # 2 x 0.02; 3 x 0.02
    "mcar-30": (0.03, 0.03, 0.06),  # 1 x 0.03; 2 x 0.03
    "without-labs": (0.04, 0.04, 0.06),  # the largest; not below the one before
}


def _rows() -> list:
    rows = [
        replace(made_comparison("symile-0", "clip-0", pattern, 0.1, p), p_holm=None)
        for pattern, (p, _, _) in BY_HAND.items()
    ]
    return [*rows, replace(rows[0], p_value=None)]


def test_primary_comparisons_are_adjusted_for_each_other_alone():
    rows = _rows()
    adjusted = adjust_p_values(rows, PRIMARY)
    assert [row.missingness for row in adjusted] == [row.missingness for row in rows]
    assert [row.p_holm for row in adjusted[:4]] == pytest.approx(
        [p for _, p, _ in BY_HAND.values()]
    )
    assert {row.family for row in adjusted[1:4:2]} == {
        "2 primary tests: 1 pair of runs, 1 task, 2 patterns"
    }
    assert {row.family for row in adjusted[0:4:2]} == {
        "2 tests: 1 pair of runs, 1 task, 2 patterns"
    }
    assert adjusted[4] == rows[4]


def test_without_primary_ones_all_are_one_family():
    adjusted = adjust_p_values(_rows())[:4]
    assert [row.p_holm for row in adjusted] == pytest.approx([p for _, _, p in BY_HAND.values()])
    assert {row.family for row in adjusted} == {"4 tests: 1 pair of runs, 1 task, 4 patterns"}


def test_losses_are_counted_by_run():
    rows = [replace(row, baseline="symile-0", against="complete") for row in _rows()]
    assert adjust_p_values(rows)[0].family == "4 tests: 1 run, 1 task, 4 patterns"


def test_a_pattern_is_primary_in_its_task_alone():
    rows = [replace(row, task="retrieval/other") for row in _rows()]
    assert adjust_p_values(rows, PRIMARY) == adjust_p_values(rows)


def test_comparisons_of_methods_are_adjusted_in_the_same_way():
    rows = [
        MethodComparison(
            cohort="synthetic",
            task=FIRST,
            missingness=pattern,
            metric="recall_at_1",
            method="pretraining/symile",
            baseline="pretraining/clip",
            n_seeds=3,
            n_baseline_seeds=3,
            difference=0.1,
            low=0.0,
            high=0.2,
            p_value=p,
            p_holm=p,
            n_samples=50,
            n_subjects=50,
            digest="",
        )
        for pattern, (p, _, _) in BY_HAND.items()
    ]
    for primary, place in ((PRIMARY, 1), (set(), 2)):
        found = [row.p_holm for row in adjust_method_comparisons(rows, primary)]
        assert found == pytest.approx([numbers[place] for numbers in BY_HAND.values()])
