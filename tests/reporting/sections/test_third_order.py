from dataclasses import replace
from typing import Any

from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.sections.third_order import (
    OBJECTIVE_FINDINGS,
    THIRD_ORDER,
)
from clinical_symile.tracking.results import Comparison
from tests.helpers.report_data import FIRST, made_data


def _data(*differences: Comparison) -> ReportData:
    description = {"pair-sums": "the best sum over pairs"}
    return replace(made_data(), comparisons=differences, baselines=description)


def _row(run: str, baseline: str, pattern: str, difference: float, p_holm: float) -> Comparison:
    return Comparison(
        run=run,
        baseline=baseline,
        cohort="synthetic",
        task=FIRST,
        split="held_out",
        missingness=pattern,
        metric="recall_at_1",
        difference=difference,
        low=difference - 0.02,
        high=difference + 0.02,
        n_samples=500,
        n_subjects=400,
        digest="0123456789abcdef",
        p_value=p_holm,
        p_holm=p_holm,
    )


def _content(section: Any, data: ReportData) -> Any:
    return section.draw(**{need: getattr(data, need) for need in section.needs})


def _sentence(data: ReportData) -> str:
    sentences = _content(OBJECTIVE_FINDINGS, data).values["sentences"]
    return next(one for one in sentences if "without ECG" in one)


def test_the_first_without_the_ecg_is_told_apart_from_the_next_only_after_holm() -> None:
    for p_holm, words in (
        (0.001, "the difference is significant"),
        (0.2, "these data do not tell"),
    ):
        sentence = _sentence(_data(_row("symile-0", "clip-0", "without-ecg", 0.1, p_holm)))
        assert words in sentence


def test_a_run_without_a_comparison_is_not_told_apart() -> None:
    assert "they were not compared" in _sentence(_data())


def test_the_first_is_the_run_with_the_highest_value_without_the_ecg() -> None:
    data = _data()
    values = {
        one.label: row.value
        for one in data.series
        if (row := data.scores.get(one.run, FIRST, "without-ecg", "recall_at_1")) is not None
    }
    first = max(values, key=lambda label: values[label])
    assert f"without ECG: {first} is first" in _sentence(data)


def test_only_runs_clearly_above_the_sums_over_pairs_pass() -> None:
    data = _data(
        _row("symile-0", "pair-sums", "complete", 0.3, 0.001),
        _row("clip-0", "pair-sums", "complete", 0.03, 0.4),
    )
    labels = {one.run: one.label for one in data.series}
    (panel,) = _content(THIRD_ORDER, data).panels
    rows = {row[0]: row[-1] for row in panel.body}
    assert rows[labels["symile-0"]] == "yes"
    assert rows[labels["clip-0"]] == "not shown"
    assert {"best sum over pairs", "oracle", "chance"} <= rows.keys()
    sentences = _content(OBJECTIVE_FINDINGS, data).values["sentences"]
    assert any(one.endswith(f"after Holm: {labels['symile-0']}.") for one in sentences)


def test_a_run_below_the_sums_over_pairs_does_not_pass() -> None:
    data = _data(_row("clip-0", "pair-sums", "complete", -0.2, 0.001))
    (panel,) = _content(THIRD_ORDER, data).panels
    assert panel.body[0][-1] == "not shown"
    sentences = _content(OBJECTIVE_FINDINGS, data).values["sentences"]
    assert any(one.endswith("after Holm: no run.") for one in sentences)


def test_without_the_ceiling_there_is_no_section() -> None:
    assert _content(THIRD_ORDER, _data()) is None
