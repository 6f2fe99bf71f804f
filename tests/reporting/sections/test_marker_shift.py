"""What the sentences and the table say of a marker whose tie ends, on made results."""

from dataclasses import replace
from typing import Any

import pytest

from clinical_symile.reporting.first_screen import SHIFT_FINDINGS
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.sections.marker_shift import (
    SHIFT,
    draw_shift,
    shift_sentences,
)
from clinical_symile.tracking.results import Comparison
from tests.helpers.report_data import OUTCOME, made_comparison, made_data

SHIFTED, KEPT = "cxr-marker-shift-deterioration", "cxr-marker-deterioration"
LEVELS = {
    "complete": 0.80,
    f"{SHIFTED}-0": 0.79,
    f"{SHIFTED}-90": 0.60,
    f"{KEPT}-0": 0.79,
    f"{KEPT}-90": 0.95,
}


def _data(
    *comparisons: Comparison, losses: tuple[Comparison, ...] = (), seeds: tuple[int, ...] = (0,)
) -> ReportData:
    data = made_data(tasks=(OUTCOME,), seeds=seeds)
    results = [
        replace(row, missingness=pattern, value=value, low=value - 0.03, high=value + 0.03)
        for row in data.results
        if (row.metric, row.missingness) == ("auroc", "complete") and row.run != "oracle"
        for pattern, value in LEVELS.items()
    ]
    return replace(data, results=results, comparisons=comparisons, losses=losses)


def _loss(run: str, tie: int, difference: float, p_holm: float = 0.001) -> Comparison:
    made = made_comparison(run, run, f"{SHIFTED}-{tie}", difference, p_holm)
    return replace(made, task=OUTCOME, metric="auroc", against="complete")


def _sentences(data: ReportData) -> list[str]:
    found = shift_sentences(
        data.scores, data.losses, data.decisions, tasks=data.tasks, trained=data.trained
    )
    return [one.replace("\N{NO-BREAK SPACE}", " ") for one in found]


def test_a_sentence_names_the_methods_that_lose_and_those_of_which_no_loss_is_shown() -> None:
    losses = (_loss("symile-0", 90, -0.2), _loss("clip-0", 90, -0.01, 0.4))
    first, *_ = _sentences(_data(losses=losses))
    assert "where a marker follows the outcome by 90 % where the probe is fitted and not" in first
    assert "significantly less AUROC: Symile by 0.200 (0.180 to 0.220); of CLIP, " in first
    assert first.endswith("of CLIP, these data show no loss.")


@pytest.mark.parametrize(
    ("p_holm", "words"),
    [(0.5, "costs none of the 2 methods anything"), (0.001, "costs by itself: Symile by 0.030")],
)
def test_the_marker_without_a_tie_is_a_control(p_holm: float, words: str) -> None:
    losses = [_loss("symile-0", 90, -0.2), _loss("clip-0", 90, -0.2)]
    losses += [_loss("symile-0", 0, -0.03, p_holm), _loss("clip-0", 0, 0.0, 1.0)]
    _, control, *_ = _sentences(_data(losses=tuple(losses)))
    assert control.startswith("A marker that tells nothing, neither where the probe is fitted ")
    assert words in control


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (-0.2, "Symile with each of 2 seeds and CLIP with each of 2 seeds."),
        (0.2, "Symile with each of 2 seeds and CLIP with 1 of 2 seeds."),
    ],
)
def test_the_number_of_seeds_that_lose_is_said(second: float, words: str) -> None:
    losses = (_loss("symile-0", 90, -0.2), _loss("symile-1", 90, -0.2))
    losses += (_loss("clip-0", 90, -0.2), _loss("clip-1", 90, second))
    first, *_ = _sentences(_data(losses=losses, seeds=(0, 1)))
    assert first.endswith(words)


def test_no_loss_is_shown_only_if_no_seed_loses() -> None:
    losses = [_loss(f"symile-{seed}", tie, -0.2) for seed in (0, 1) for tie in (0, 90)]
    losses += [_loss("clip-0", 90, 0.2), _loss("clip-1", 90, -0.01, 0.4)]
    losses += [_loss("clip-0", 0, 0.2), _loss("clip-1", 0, -0.2)]
    first, control, *_ = _sentences(_data(losses=tuple(losses), seeds=(0, 1)))
    assert first.endswith("Symile with each of 2 seeds; of CLIP, these data show no loss.")
    assert "costs by itself: Symile with each of 2 seeds and CLIP with 1 of 2 seeds" in control


@pytest.mark.parametrize(
    ("p_holm", "words"),
    [(0.001, "Symile is better than CLIP by 0.100 (0.080 to 0.120); 1 of 1"), (0.3, "do not tell")],
)
def test_the_methods_are_compared_under_the_strongest_shift(p_holm: float, words: str) -> None:
    row = made_comparison("symile-0", "clip-0", f"{SHIFTED}-90", 0.1, p_holm)
    row = replace(row, task=OUTCOME, metric="auroc")
    losses = (_loss("symile-0", 90, -0.2), _loss("clip-0", 90, -0.3))
    assert words in _sentences(_data(row, losses=losses))[-1]


def test_the_table_has_each_tie_kept_and_lost() -> None:
    data = _data(losses=(_loss("symile-0", 90, -0.2),))
    needs = {name: getattr(data, name) for name in SHIFT.needs}
    content = draw_shift(**needs)
    assert content is not None
    (panel,) = content.panels
    rows = {row[0].replace("\N{NO-BREAK SPACE}", " "): list(row[1:]) for row in panel.body}
    assert list(rows) == [f"{name}, {tie} % tied" for name in ("Symile", "CLIP") for tie in (0, 90)]
    values = [cell.partition(" ")[0] for cell in rows["Symile, 90 % tied"][1:4]]
    assert values == ["0.800", "0.950", "0.600"]
    assert panel.head[-3] == "tie lost minus no marker"
    assert rows["Symile, 90 % tied"][4] == "\N{MINUS SIGN}0.200"
    assert "a loss is negative" in content.caption
    assert set(rows["CLIP, 90 % tied"][4:]) == {"\N{EN DASH}"}


@pytest.mark.parametrize("difference", [0.2, -0.2])
def test_a_metric_of_which_lower_is_better_gets_worse_by_a_rise(difference: float) -> None:
    data = _data(losses=(_loss("symile-0", 90, difference),))
    tasks = {OUTCOME: {**data.tasks[OUTCOME], "higher_is_better": False}}
    data = replace(data, tasks=tasks)
    first, *_ = _sentences(data)
    assert ("significantly worse AUROC: Symile by 0.200" in first) == (difference > 0)
    assert "less" not in first
    content = draw_shift(**{name: getattr(data, name) for name in SHIFT.needs})
    assert content is not None
    assert "a loss of AUROC is positive" in content.caption


def test_the_table_tells_the_tie_of_the_probe_from_the_pattern_of_the_encoders() -> None:
    data = _data(losses=(_loss("symile-0", 90, -0.2),))
    patterns = {"symile-0": "observed", "clip-0": f"{SHIFTED}-90"}
    runs = [
        {**run, "definition": {**run["definition"], "missingness": patterns[run["name"]]}}
        for run in data.runs
    ]
    data = replace(data, runs=runs)
    content = draw_shift(**{name: getattr(data, name) for name in SHIFT.needs})
    assert content is not None
    (panel,) = content.panels
    assert panel.head[:2] == ["method, and tie where the probe is fitted", "encoders trained under"]
    rows = [[cell.replace("\N{NO-BREAK SPACE}", " ") for cell in row[:2]] for row in panel.body]
    marker = "chest X-ray: a marker tied to deterioration, but not in held-out samples: 90 %"
    assert rows == [
        ["Symile, 0 % tied", "as recorded"],
        ["Symile, 90 % tied", "as recorded"],
        ["CLIP, 0 % tied", marker],
        ["CLIP, 90 % tied", marker],
    ]


def test_the_figure_is_the_curve_of_the_shift_and_not_that_of_the_kept_tie() -> None:
    data = _data(losses=(_loss("symile-0", 90, -0.2),))
    needs: dict[str, Any] = {name: getattr(data, name) for name in SHIFT_FINDINGS.needs}
    content = SHIFT_FINDINGS.draw(**needs)
    assert content is not None
    (panel,) = content.panels
    assert panel.head == ["run", "0 % tied", "90 % tied"]
    assert "not in held-out samples" in panel.title
    assert "Symile by 0.200" in content.values["sentences"][0]


def test_without_such_a_marker_there_is_no_section_and_no_sentence() -> None:
    data = made_data()
    assert draw_shift(**{name: getattr(data, name) for name in SHIFT.needs}) is None
    assert _sentences(data) == []
