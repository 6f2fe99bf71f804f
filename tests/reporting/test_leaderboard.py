"""Ranks over bundles: of equal questions, with what the data allow, and why others are apart."""

import re
from dataclasses import replace
from typing import Any

import pytest

from clinical_symile.reporting.leaderboard import (
    BundleContent,
    QuestionRanking,
    _Entry,
    _p_value,
    rank_bundles,
)
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.tracking.results import Comparison
from tests.helpers.report_data import FIRST, TASKS, made_cohort
from tests.reporting.test_results import RESULT

ROW = replace(RESULT, task=FIRST)


def _data(*values: float, width: float = 0.05, **changes: Any) -> ReportData:
    """Runs `run-0`, `run-1` … with these values of the primary metric, and an oracle."""
    rows = [
        replace(ROW, run=f"run-{n}", value=value, low=value - width, high=value + width, **changes)
        for n, value in enumerate(values)
    ]
    oracle = replace(ROW, run="oracle", value=0.9, **changes)
    other = replace(ROW, run="run-0", metric="recall_at_5", value=0.99, **changes)
    tasks = {FIRST: TASKS[FIRST]}
    return ReportData(results=[*rows, oracle, other], tasks=tasks, cohort=made_cohort())


def _bundle(
    name: str, data: ReportData, *, version: str = "0.2.4", **digests: Any
) -> BundleContent:
    known = {"cohort": "c", "store": "s", "source": "r", "tasks": {FIRST: "t"}} | digests
    return BundleContent(name=name, version=version, digests=known, data=data)


def _ranks(ranking: QuestionRanking) -> list[tuple[str, str, int, int, int]]:
    return [(one.bundle, one.row.run, one.rank, one.low, one.high) for one in ranking.entries]


def test_results_of_one_question_are_ranked_over_bundles_and_the_oracle_is_not():
    a, b = _bundle("a", _data(0.2, 0.8)), _bundle("b", _data(0.5))
    (ranking,) = rank_bundles([a, b])
    assert _ranks(ranking) == [
        ("a", "run-1", 1, 1, 1),
        ("b", "run-0", 2, 2, 2),
        ("a", "run-0", 3, 3, 3),
    ]
    assert (ranking.best_possible, ranking.apart) == (0.9, [])


def test_what_the_data_do_not_decide_has_a_wide_rank():
    (ranking,) = rank_bundles([_bundle("a", _data(0.50, 0.51, 0.9, width=0.1))])
    assert _ranks(ranking) == [
        ("a", "run-2", 1, 1, 1),
        ("a", "run-1", 2, 2, 3),
        ("a", "run-0", 3, 2, 3),
    ]
    (ties,) = rank_bundles([_bundle("a", _data(0.5, 0.5))])
    assert _ranks(ties) == [("a", "run-0", 1, 1, 2), ("a", "run-1", 1, 1, 2)]


def test_without_intervals_no_rank_is_decided():
    data = _data(0.1, 0.9)
    rows = [replace(row, low=None, high=None, no_interval="few") for row in data.results]
    (ranking,) = rank_bundles([_bundle("a", replace(data, results=rows))])
    assert [one[3:] for one in _ranks(ranking)] == [(1, 2), (1, 2)]


def _paired(p_value: float | None, **changes: Any) -> Comparison:
    """The paired test of `run-1` and `run-0`."""
    same = ("cohort", "task", "split", "missingness", "metric", "n_samples", "n_subjects", "digest")
    about = {key: getattr(ROW, key) for key in same} | changes
    ends: dict[str, Any] = {"difference": 0.03, "low": 0.01, "high": 0.05, "p_value": p_value}
    return Comparison(run="run-1", baseline="run-0", **about, **ends)


def _p_value_of(*comparisons: Comparison, values: tuple[float, float], width: float = 0.05):
    """The p-value of the two runs of a bundle with these paired tests."""
    data = replace(_data(*values, width=width), comparisons=comparisons)
    bundle = _bundle("a", data)
    return _p_value(*(_Entry(bundle=bundle, row=row) for row in data.results[:2]))


def test_no_test_gives_no_p_value_and_no_decision():
    far = (0.1, 0.9)
    assert _p_value_of(_paired(None), values=far) is None
    assert _p_value_of(values=far, width=0.0) is None
    assert _p_value_of(values=far) == pytest.approx(0.0, abs=1e-12)
    # Two intervals of +-0.05: z = 0.05 / hypot(0.0255, 0.0255) = 1.386, two-sided p = 0.166.
    assert _p_value_of(values=(0.50, 0.55)) == pytest.approx(0.1658, abs=1e-4)
    # A row against another pattern is no test of the two runs; the row without one is.
    against = _paired(0.001, against="complete")
    assert _p_value_of(against, _paired(0.2), values=far) == 0.2


def test_pairs_without_a_test_do_not_adjust_the_others():
    data = _data(0.50, 0.53, 0.90, width=0.2)
    rows = [replace(r, low=None, high=None) if r.run == "run-2" else r for r in data.results]
    tested = replace(data, results=rows, comparisons=[_paired(0.04)])
    (ranking,) = rank_bundles([_bundle("a", tested)])
    assert _ranks(ranking) == [
        ("a", "run-2", 1, 1, 3),
        ("a", "run-1", 2, 1, 2),
        ("a", "run-0", 3, 2, 3),
    ]


@pytest.mark.parametrize(("p_value", "best"), [(0.01, (1, 1)), (0.2, (1, 2))])
def test_runs_of_one_bundle_are_compared_by_their_paired_test(
    p_value: float, best: tuple[int, int]
):
    data, paired = _data(0.50, 0.53, width=0.2), _paired(p_value)
    (ranking,) = rank_bundles([_bundle("a", replace(data, comparisons=[paired]))])
    assert _ranks(ranking)[0][3:] == best


def test_where_lower_is_better_the_lowest_is_first():
    data = _data(0.2, 0.8)
    lower = {FIRST: {**TASKS[FIRST], "higher_is_better": False}}
    (ranking,) = rank_bundles([_bundle("a", replace(data, tasks=lower))])
    assert [one[1:3] for one in _ranks(ranking)] == [("run-0", 1), ("run-1", 2)]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (_bundle("b", _data(0.5, digest="x"), tasks={FIRST: "u"}), "the task is defined otherwise"),
        (_bundle("b", _data(0.5, digest="x"), cohort="d", store="v"), "the cohort is another one"),
        (
            _bundle("b", _data(0.5, digest="x"), store="v"),
            "the store holds other samples or arrays",
        ),
        (_bundle("b", _data(0.5, mask="n")), "the mask hides other measurements"),
        (_bundle("b", _data(0.5, split="tuning")), "the split is another one"),
        (
            _bundle("b", _data(0.5, digest="x"), version="0.3.0"),
            r"the version is another one \(0.2.4, 0.3.0\)",
        ),
        (_bundle("b", _data(0.5, digest="x")), "the candidate lists or a table of the pattern"),
    ],
)
def test_other_questions_are_apart_and_the_reason_is_given(other: BundleContent, reason: str):
    rankings = rank_bundles([_bundle("a", _data(0.2)), other])
    assert [len(one.entries) for one in rankings] == [1, 1]
    of_a = next(one for one in rankings if one.entries[0].bundle == "a")
    (sentence,) = of_a.apart
    assert re.search(rf"^Not ranked with b: {reason}", sentence)


def test_bundles_that_disagree_on_what_is_better_are_apart():
    data = _data(0.2, 0.8)
    lower = replace(data, tasks={FIRST: {**TASKS[FIRST], "higher_is_better": False}})
    rankings = rank_bundles([_bundle("a", lower), _bundle("b", data)])
    assert {ranking.entries[0].bundle: _ranks(ranking)[0][1] for ranking in rankings} == {
        "a": "run-0",
        "b": "run-1",
    }
    assert all("better is the other way round" in ranking.apart[0] for ranking in rankings)


def test_another_pattern_is_no_reason_to_give():
    data = _data(0.2)
    more = [replace(row, missingness="mcar-30", mask="n") for row in data.results]
    rankings = rank_bundles([_bundle("a", replace(data, results=[*data.results, *more]))])
    assert [(one.pattern, one.apart) for one in rankings] == [("complete", []), ("mcar-30", [])]
