"""The table of primary comparisons: all of their pairs, and nothing else."""

from dataclasses import replace
from typing import Any

from clinical_symile.reporting.first_screen import METHOD_FINDINGS
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.sections.primary import PRIMARY
from clinical_symile.tracking.benchmark_tables import MethodComparison
from tests.helpers.report_data import FIRST, made_comparison, made_data

CELL = f"{FIRST}:without-ecg"


def _data(**changes: Any) -> ReportData:
    data = made_data(tasks=(FIRST,))
    rows = [
        made_comparison("symile-0", "clip-0", "without-ecg", -0.08, 0.004),
        made_comparison("symile-0", "prevalence", "without-ecg", 0.1, 0.001),
        made_comparison("symile-0", "clip-0", "complete", 0.3, 0.001),
    ]
    about = {"primary": (CELL,), "baselines": {"prevalence": "the outcome's share"}}
    return replace(data, comparisons=rows, **{**about, **changes})


def _over_seeds(method: str, baseline: str, difference: float, p_value: float) -> MethodComparison:
    return MethodComparison(
        cohort="synthetic",
        task=FIRST,
        missingness="without-ecg",
        metric="recall_at_1",
        method=method,
        baseline=baseline,
        n_seeds=10,
        n_baseline_seeds=10,
        difference=difference,
        low=difference - 0.02,
        high=difference + 0.02,
        p_value=p_value,
        p_holm=min(1.0, 2 * p_value),
        n_samples=500,
        n_subjects=400,
        digest="",
    )


def _content(data: ReportData, section: Any = PRIMARY) -> Any:
    return section.draw(**{need: getattr(data, need) for need in section.needs})


def test_runs_are_compared_where_no_method_has_several_seeds():
    (panel,) = _content(_data()).panels
    assert panel.title.endswith("without ECG: recall@1")
    (row,) = panel.body  # neither the baseline nor the other pattern
    assert row[1:5] == [
        "\N{MINUS SIGN}8.0",
        "\N{MINUS SIGN}10.0 to \N{MINUS SIGN}6.0",
        "0.004",
        "0.004",
    ]
    assert panel.table[0] == ["pair", "difference, points", "95 % interval", "p", "p (Holm)"]


def test_comparisons_over_seeds_replace_those_of_runs_the_smallest_p_first():
    symile, clip = (str(run["task"]) for run in made_data(tasks=(FIRST,)).runs)
    several = [
        _over_seeds(symile, clip, -0.01, 0.4),
        _over_seeds(clip, symile, 0.05, 0.01),
        _over_seeds(symile, "pretraining/of_another_report", 0.05, 0.01),
    ]
    (panel,) = _content(_data(methods_compared=several)).panels
    assert [row[3:] for row in panel.body] == [["0.010", "0.020", "10"], ["0.400", "0.800", "10"]]


def test_there_is_no_table_where_nothing_was_set_beforehand():
    assert _content(_data(primary=())) is None
    assert _content(_data(primary=("retrieval/not_shown:complete",))) is None
    assert _content(_data(primary=(f"{FIRST}:mcar-30",))) is None


def test_the_first_screen_begins_with_what_was_set_beforehand():
    sentences = _content(_data(), METHOD_FINDINGS).values["sentences"]
    assert sentences[0].startswith("Set beforehand as primary: ")
    assert "8.0 points" in sentences[0]
    without = _content(_data(primary=()), METHOD_FINDINGS).values["sentences"]
    assert sentences[1:] == without
