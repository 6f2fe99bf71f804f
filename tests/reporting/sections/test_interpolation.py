"""Curves between two runs, and what their sentences say, on made results."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from clinical_symile.reporting.first_screen import INTERPOLATION_FINDINGS
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.sections.interpolation import (
    INTERPOLATION,
    NO_CURVE,
    chosen_alpha,
    draw_interpolation,
    interpolated_lines,
    interpolation_legend,
    interpolation_panels,
    interpolation_sentences,
    tuning_task,
)
from clinical_symile.tracking.results import Comparison
from tests.helpers.report_data import FIRST, TASKS, made_comparison, made_data, made_run

TWIN = f"{FIRST}_tuning"
ALPHAS = (0.0, 0.5, 1.0)
HELD_OUT = {"complete": (0.6, 0.7, 0.8), "without-ecg": (0.5, 0.55, 0.3)}
TUNING = {"complete": (0.6, 0.75, 0.8), "without-ecg": (0.5, 0.6, 0.3)}  # means .55, .675, .55


def _data(
    *comparisons: Comparison,
    tuning: dict[str, tuple[float, ...]] | None = None,
    held_out: dict[str, tuple[float, ...]] = HELD_OUT,
) -> ReportData:
    data = made_data(tasks=(FIRST,))
    about = {"first": "start", "second": "further", "first_sha256": "a", "second_sha256": "b"}
    runs: list[dict[str, Any]] = [
        {
            **made_run("symile", 0),
            "name": f"wiseft-{100 * alpha:g}",
            "interpolated": {**about, "alpha": alpha},
        }
        for alpha in reversed(ALPHAS)
    ]
    template = next(row for row in data.results if row.run == "symile-0")
    results = [
        replace(
            template,
            run=f"wiseft-{100 * alpha:g}",
            task=task,
            split=split,
            missingness=pattern,
            metric="recall_at_1",
            value=value,
            low=value - 0.05,
            high=value + 0.05,
        )
        for task, split, values in ((FIRST, "held_out", held_out), (TWIN, "tuning", tuning or {}))
        for pattern, of_alphas in values.items()
        for alpha, value in zip(ALPHAS, of_alphas, strict=True)
    ]
    tasks = {FIRST: {**TASKS[FIRST], "split": "held_out"}}
    if tuning:
        tasks[TWIN] = {**TASKS[FIRST], "split": "tuning", "default": False, "description": "t"}
    runs.append(made_run("symile", 1))
    return replace(
        data, runs=runs, results=results, comparisons=comparisons, tasks=tasks, histories={}
    )


def _sentences(data: ReportData) -> list[str]:
    found = interpolation_sentences(data.scores, data.comparisons, tasks=data.tasks, runs=data.runs)
    return [one.replace("\N{NO-BREAK SPACE}", " ") for one in found]


def _row(run: str, other: str, pattern: str, difference: float, p_holm: float = 0.001):
    return made_comparison(run, other, pattern, difference, p_holm)


def test_the_runs_of_a_line_rise_with_their_share_and_other_runs_have_no_part() -> None:
    data = _data()
    (line,) = interpolated_lines(data.runs)
    assert (line.first, line.second) == ("start", "further")
    assert line.runs == {0.0: "wiseft-0", 0.5: "wiseft-50", 1.0: "wiseft-100"}
    assert interpolated_lines(data.runs[2:]) == []  # a single one is no line


def test_tuning_samples_choose_the_share_and_held_out_ones_never() -> None:
    data = _data(tuning=TUNING)
    (line,) = interpolated_lines(data.runs)
    assert tuning_task(FIRST, data.tasks) == TWIN
    about = {"scores": data.scores, "tasks": data.tasks}
    assert chosen_alpha(line, FIRST, **about) == 0.5  # .675 against .55 and .55
    assert chosen_alpha(line, TWIN, **about) is None
    # With held-out results that prefer an end the choice is the same.
    better = {name: (0.1, 0.2, 0.99) for name in HELD_OUT}
    other = _data(tuning=TUNING, held_out=better)
    assert chosen_alpha(line, FIRST, scores=other.scores, tasks=other.tasks) == 0.5
    assert chosen_alpha(line, FIRST, scores=_data().scores, tasks=_data().tasks) is None
    equal = _data(tuning={name: (0.5, 0.5, 0.5) for name in TUNING})
    assert chosen_alpha(line, FIRST, scores=equal.scores, tasks=equal.tasks) == 0.0


def test_a_lower_value_is_better_where_the_metric_says_so() -> None:
    data = _data(tuning=TUNING)
    tasks = {name: {**task, "higher_is_better": False} for name, task in data.tasks.items()}
    (line,) = interpolated_lines(data.runs)
    assert chosen_alpha(line, FIRST, scores=data.scores, tasks=tasks) == 0.0


def test_a_share_is_better_or_worse_only_where_a_paired_interval_carries_it() -> None:
    rows = [
        _row("wiseft-50", "wiseft-0", "complete", 0.1),
        _row("wiseft-0", "wiseft-50", "without-ecg", -0.05, p_holm=0.2),  # not significant
        _row("wiseft-100", "wiseft-50", "complete", 0.1),  # the end is better
        _row("wiseft-50", "wiseft-100", "without-ecg", 0.25),
    ]
    (sentence,) = _sentences(_data(*rows, tuning=TUNING))
    assert "from alpha = 0 to 1, recall@1 goes from 60 % to 80 % with nothing" in sentence
    assert "and 50 % to 30 % on average of 1 other" in sentence
    assert "Tuning samples choose alpha = 0.5." in sentence
    assert (
        "differs from alpha = 0 significantly under 1 of 2 patterns: better: nothing missing "
        "by 10.0 points (8.0 to 12.0)."
    ) in sentence
    assert (
        "differs from alpha = 1 significantly under 2 of 2 patterns: better: without ECG by "
        "25.0 points (23.0 to 27.0); worse: nothing missing by 10.0 points"
    ) in sentence


def test_no_difference_is_said_where_none_is_shown() -> None:
    rows = [
        _row("wiseft-50", end, pattern, 0.01)
        for end in ("wiseft-0", "wiseft-100")
        for pattern in HELD_OUT
    ]
    (sentence,) = _sentences(_data(*rows, tuning=TUNING))
    assert sentence.count("these data show no difference from alpha = ") == 2
    assert "better" not in sentence
    (alone,) = _sentences(_data(tuning=TUNING))
    assert "was not compared with alpha = 0 on the same held-out samples" in alone


def test_an_end_that_is_chosen_and_a_choice_that_cannot_be_made_are_said() -> None:
    (end,) = _sentences(_data(tuning={"complete": (0.1, 0.2, 0.3)}))
    assert "Tuning samples choose an end, alpha = 1: nothing is gained in between." in end
    (none,) = _sentences(_data())
    assert (
        'No alpha is chosen: that needs the results of the same task with `split = "tuning"`'
        in (none)
    )
    data = made_data(tasks=(FIRST,))
    assert _sentences(data) == [NO_CURVE]
    assert draw_interpolation(scores=data.scores, tasks=data.tasks, runs=data.runs) is None


def test_figures_have_the_shares_and_the_plane_of_missing_against_complete() -> None:
    data = _data(tuning=TUNING)
    about = {"tasks": data.tasks, "runs": data.runs}
    by_alpha, plane, *of_tuning = interpolation_panels(data.scores, **about)
    assert len(of_tuning) == 2
    assert "tuning samples" in of_tuning[0].title
    assert by_alpha.head == ["alpha", "0", "0.5", "1"]
    assert [row[0] for row in by_alpha.body] == ["nothing missing", "without ECG"]
    assert by_alpha.body[0][1].startswith("60.0")
    assert plane.head == ["alpha", "nothing missing", "without ECG"]
    assert [row[0] for row in plane.body] == ["0", "0.5", "1"]
    assert plane.picture is not None
    (path, _first) = plane.picture.figure.axes[0].lines
    assert np.asarray(path.get_xdata()).tolist() == [0.6, 0.7, 0.8]
    assert np.asarray(path.get_ydata()).tolist() == [0.5, 0.55, 0.3]
    legend = interpolation_legend(data.scores, **about)
    assert legend.methods == [(0, "nothing missing"), (1, "without ECG")]
    content = draw_interpolation(scores=data.scores, **about)
    assert content is not None
    assert INTERPOLATION.draw is draw_interpolation


@pytest.mark.parametrize("with_lines", [True, False])
def test_the_first_screen_answers_with_a_curve_or_says_how_to_get_one(with_lines: bool) -> None:
    data = _data(tuning=TUNING) if with_lines else made_data(tasks=(FIRST,))
    made = INTERPOLATION_FINDINGS.draw(
        comparisons=data.comparisons, scores=data.scores, tasks=data.tasks, facts=data.facts
    )
    assert made is not None
    assert bool(made.panels) is with_lines
