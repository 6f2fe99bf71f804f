from dataclasses import replace
from typing import Any

from clinical_symile.reporting.first_screen import OBJECTIVE_FINDINGS
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.sections.third_order import THIRD_ORDER
from clinical_symile.tracking.results import Comparison
from tests.helpers.report_data import FIRST, made_comparison, made_data


def _data(*differences: Comparison) -> ReportData:
    description = {"pair-sums": "the best sum over pairs"}
    return replace(made_data(), comparisons=differences, baselines=description)


def _content(section: Any, data: ReportData) -> Any:
    return section.draw(**{need: getattr(data, need) for need in section.needs})


def _sentence(data: ReportData) -> str:
    sentences = _content(OBJECTIVE_FINDINGS, data).values["sentences"]
    return next(one for one in sentences if "without ECG" in one)


def test_the_first_without_the_ecg_is_told_apart_from_the_next_only_after_holm() -> None:
    for p_holm, words in (
        (0.001, "Symile is better"),
        (0.2, "these data do not tell"),
    ):
        sentence = _sentence(
            _data(made_comparison("symile-0", "clip-0", "without-ecg", 0.1, p_holm))
        )
        assert words in sentence


def test_a_run_without_a_comparison_is_not_told_apart() -> None:
    assert "they were not compared" in _sentence(_data())


def test_the_first_is_the_method_with_the_highest_mean_over_its_seeds_without_the_ecg() -> None:
    data = replace(made_data(seeds=(0, 1)), comparisons=())
    changed = []
    for row in data.results:
        if row.task == FIRST and row.missingness == "without-labs":
            continue  # the ECG is then the only modality whose loss is evaluated
        if (row.task, row.missingness, row.metric) == (FIRST, "without-ecg", "recall_at_1"):
            # Symile has the luckiest seed, CLIP the better mean.
            value = {"symile-0": 0.9, "symile-1": 0.1, "clip-0": 0.6, "clip-1": 0.6}.get(row.run)
            row = row if value is None else replace(row, value=value)
        changed.append(row)
    sentence = _sentence(replace(data, results=changed))
    assert (
        "without ECG: CLIP (60\N{NO-BREAK SPACE}%) has the best recall@1, means of 2 seeds"
        in sentence
    )
    assert "before Symile (50\N{NO-BREAK SPACE}%)" in sentence


def test_a_leader_is_named_without_each_modality_and_first_where_the_loss_costs_most() -> None:
    data = made_data()
    known = {"without-ecg": 0.5, "without-labs": 0.2}
    changed = list(data.results)
    for row in data.results:
        if (row.task, row.missingness, row.metric) == (FIRST, "without-ecg", "recall_at_1"):
            changed.remove(row)
            changed += [
                replace(row, missingness=name, value=value) for name, value in known.items()
            ]
    data = replace(data, results=changed, comparisons=())
    sentences = _content(OBJECTIVE_FINDINGS, data).values["sentences"]
    (labs,), (ecg,) = (
        [place for place, one in enumerate(sentences) if f"without {name}: " in one]
        for name in ("labs", "ECG")
    )
    assert labs < ecg


def test_only_runs_clearly_above_the_sums_over_pairs_pass() -> None:
    data = _data(
        made_comparison("symile-0", "pair-sums", "complete", 0.3, 0.001),
        made_comparison("clip-0", "pair-sums", "complete", 0.03, 0.4),
    )
    labels = {one.run: one.label for one in data.series}
    (panel,) = _content(THIRD_ORDER, data).panels
    rows = {row[0]: row[-1] for row in panel.body}
    assert rows[labels["symile-0"]] == "yes"
    assert rows[labels["clip-0"]] == "not shown"
    assert {"best sum over pairs", "oracle", "chance"} <= rows.keys()
    sentences = _content(OBJECTIVE_FINDINGS, data).values["sentences"]
    assert any(one.endswith(f"after Holm: {labels['symile-0']}.") for one in sentences)


def test_of_several_seeds_the_sentence_counts_those_above_the_sums_over_pairs() -> None:
    differences = [
        made_comparison(run, "pair-sums", "complete", value, p_holm)
        for run, value, p_holm in (
            ("symile-0", 0.3, 0.001),
            ("symile-1", 0.02, 0.4),
            ("clip-0", 0.02, 0.4),
            ("clip-1", -0.2, 0.001),
        )
    ]
    description = {"pair-sums": "the best sum over pairs"}
    data = replace(made_data(seeds=(0, 1)), comparisons=differences, baselines=description)
    sentences = _content(OBJECTIVE_FINDINGS, data).values["sentences"]
    assert any(one.endswith("after Holm: Symile (1 of 2 seeds).") for one in sentences)


def test_a_run_below_the_sums_over_pairs_does_not_pass() -> None:
    data = _data(made_comparison("clip-0", "pair-sums", "complete", -0.2, 0.001))
    (panel,) = _content(THIRD_ORDER, data).panels
    assert panel.body[0][-1] == "not shown"
    sentences = _content(OBJECTIVE_FINDINGS, data).values["sentences"]
    assert any(one.endswith("after Holm: no run.") for one in sentences)


def test_without_the_ceiling_there_is_no_section() -> None:
    assert _content(THIRD_ORDER, _data()) is None


def test_what_is_decided_comes_before_what_is_not() -> None:
    data = _data(
        made_comparison("symile-0", "clip-0", "without-ecg", 0.1, 0.2),
        made_comparison("symile-0", "pair-sums", "complete", 0.3, 0.001),
    )
    first, second, *_ = _content(OBJECTIVE_FINDINGS, data).values["sentences"]
    assert "above the best sum over pairs" in first
    assert "these data do not tell" in second
