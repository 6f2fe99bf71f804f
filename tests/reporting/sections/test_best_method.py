"""The best method for each kind of missingness, by arithmetic on a few made results."""

from dataclasses import replace
from typing import Any

import pytest

from clinical_symile.reporting.first_screen import METHOD_FINDINGS
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.sections.best_method import BEST_METHOD, best_methods
from clinical_symile.reporting.text.answers import Decision
from clinical_symile.tracking.results import Comparison
from tests.helpers.report_data import (
    FIRST,
    made_comparison,
    made_data,
    with_all_that_is_told,
)

VALUES = {
    ("symile-0", "complete"): 0.7,
    ("clip-0", "complete"): 0.2,
    ("symile-0", "without-ecg"): 0.1,
    ("clip-0", "without-ecg"): 0.18,
    ("symile-0", "without-labs"): 0.15,
    ("clip-0", "without-labs"): 0.19,
    ("symile-0", "mcar-30"): 0.4,
    ("clip-0", "mcar-30"): 0.19,
}


def _data(*comparisons: Comparison, seconds: tuple[float, float] = (40.0, 30.0)) -> ReportData:
    data = made_data(tasks=(FIRST,))
    template = next(row for row in data.results if row.run == "symile-0")
    rows = [
        replace(template, run=run, missingness=pattern, metric="recall_at_1", value=value)
        for (run, pattern), value in VALUES.items()
    ]
    costs: dict[str, float] = dict(zip(("symile-0", "clip-0"), seconds, strict=True))
    runs = [
        {**run, "costs": {"training": {"processor_s": costs[str(run["name"])]}}}
        for run in data.runs
    ]
    return replace(data, results=rows, runs=runs, comparisons=comparisons)


def _row(pattern: str, difference: float, p_holm: float = 0.001) -> Comparison:
    return made_comparison("symile-0", "clip-0", pattern, difference, p_holm)


def _content(section: Any, data: ReportData) -> Any:
    return section.draw(**{need: getattr(data, need) for need in section.needs})


def _cells(data: ReportData) -> dict[str, list[str]]:
    (panel,) = _content(BEST_METHOD, data).panels
    return {row[0]: [cell.replace("\N{NO-BREAK SPACE}", " ") for cell in row] for row in panel.body}


def test_each_kind_has_the_pattern_under_which_the_methods_are_worst() -> None:
    """Means without the ECG are 0.14 and without labs 0.17, so the ECG stands for the kind."""
    cells = _cells(_data())
    assert list(cells) == [
        "nothing missing",
        "a modality always missing",
        "missing completely at random",
    ]
    assert cells["a modality always missing"][1] == "without ECG"
    assert cells["a modality always missing"][2].startswith("CLIP: 18")
    assert cells["nothing missing"][2].startswith("Symile: 70")


@pytest.mark.parametrize(
    ("p_holm", "count", "others"),
    [(0.001, "1 of 1", "none"), (0.2, "0 of 1", "CLIP (by up to 52.0 points)")],
)
def test_a_method_is_significantly_worse_after_holm(p_holm: float, count: str, others: str) -> None:
    row = _cells(_data(_row("complete", 0.5, p_holm)))["nothing missing"]
    assert row[4:6] == [count, others]


def test_the_cost_names_the_cheapest_of_those_that_are_not_significantly_worse() -> None:
    apart = _cells(_data(_row("complete", 0.5)))["nothing missing"]
    assert apart[-1] == "40.0 s"
    assert _cells(_data())["nothing missing"][-1] == "40.0 s; CLIP: 30.0 s"
    assert _cells(_data(seconds=(20.0, 30.0)))["nothing missing"][-1] == "20.0 s"


def _first(data: ReportData) -> str:
    sentence = _content(METHOD_FINDINGS, data).values["sentences"][0]
    return sentence.replace("\N{NO-BREAK SPACE}", " ")


def test_the_answer_names_the_methods_that_hold_up_under_every_kind() -> None:
    undecided = _first(_data())
    assert "none of 2 methods is significantly worse than the best for any of 3 kinds" in undecided
    better = _data(_row("complete", 0.5), _row("mcar-30", 0.2))
    assert "Symile is not significantly worse than the best method for any of 3 kinds" in _first(
        better
    )
    mixed = _data(_row("complete", 0.5), _row("without-ecg", -0.08), _row("mcar-30", 0.2))
    assert "no method is among the best for all 3 kinds of missingness" in _first(mixed)
    assert "Symile is for 2 of them" in _first(mixed)


def _wide(pattern: str, difference: float, reach: float) -> Comparison:
    row = _row(pattern, difference, p_holm=0.4)
    return replace(row, low=difference - reach, high=difference + reach)


def test_a_cheap_method_that_varies_much_is_named_with_all_that_it_may_lose() -> None:
    """CLIP is cheaper and nowhere significantly worse, and may yet lose 0.25 + 0.38 of recall.

    Symile has the better mean with nothing missing, and may lose 0.38 - 0.25 there all the same.
    """
    rows = [_wide("complete", 0.25, 0.38), _wide("without-ecg", -0.05, 0.06)]
    assert _first(_data(*rows, _wide("mcar-30", 0.05, 0.1))) == (
        "Find the chest X-ray from ECG and labs: none of 2 methods is significantly worse than the "
        "best for any of 3 kinds of missingness. Least can be lost with Symile: by the 95 % "
        "intervals, each by itself, at most 13.0 points under the hardest pattern of each kind. "
        "Of these, CLIP costs least to train (30.0 s); it may be worse than another by up to 63.0 "
        "points."
    )
    cells = _cells(_data(*rows))
    assert cells["nothing missing"][5] == "CLIP (by up to 63.0 points)"
    assert cells["a modality always missing"][5] == "Symile (by up to 11.0 points)"
    surest = _first(_data(*rows, _wide("mcar-30", 0.05, 0.1), seconds=(20.0, 30.0)))
    assert surest.endswith("Of these, Symile costs least to train (20.0 s).")


def test_the_best_mean_is_no_proof_of_being_the_best() -> None:
    """Symile leads by 0.02 under each kind, and may be worse by 0.18."""
    data = _data(*(_wide(pattern, 0.02, 0.2) for pattern in ("complete", "without-ecg", "mcar-30")))
    assert "with Symile: by the 95 % intervals, each by itself, at most 18.0 points" in _first(data)


def test_a_lone_leader_and_a_mixed_picture_say_what_may_be_lost() -> None:
    rows = [_row("complete", 0.5), _wide("without-ecg", -0.05, 0.6), _wide("mcar-30", 0.2, 0.1)]
    assert "With Symile: by the 95 % intervals, each by itself, at most 65.0 points" in _first(
        _data(*rows)
    )
    rows = [_row("complete", 0.5), _row("without-ecg", -0.08), _wide("mcar-30", 0.2, 0.3)]
    mixed = _first(_data(*rows))
    assert "Symile and CLIP are for 2 of them. Least can be lost with Symile" in mixed
    assert "at most 10.0 points under the hardest pattern of each kind" in mixed
    assert "CLIP costs least to train (30.0 s); it may be worse than another by up to 52" in mixed


def test_a_method_is_held_against_each_other_one() -> None:
    """CLIP may be 0.1 worse than Symile and 0.3 worse than the third; one pair more is lacking."""
    data = made_data(objectives=("symile", "clip", "my_lab.losses:Triple"), tasks=(FIRST,))
    third = next(one.method for one in data.series if one.method not in ("Symile", "CLIP"))

    def decision(first: str, other: str, lost: tuple[float, float]) -> Decision:
        return Decision(FIRST, "complete", (first, other), "", "", 0.0, lost)

    pairs = [
        decision("Symile", "CLIP", (0.2, 0.1)),
        decision(third, "CLIP", (0.05, 0.3)),
        decision("Symile", third, (0.15, 0.25)),
    ]
    (found, *_) = best_methods(data.scores, pairs, tasks=data.tasks, trained=data.series)
    assert found.most_lost == {"Symile": 0.2, "CLIP": 0.3, third: 0.25}
    (found, *_) = best_methods(data.scores, pairs[:2], tasks=data.tasks, trained=data.series)
    assert found.most_lost == {"Symile": None, "CLIP": 0.3, third: None}


def test_without_a_comparison_no_size_is_claimed() -> None:
    """Of one kind no comparison exists, so that what either may lose is not known."""
    found = _first(_data(_wide("complete", 0.25, 0.38)))
    assert "at most" not in found
    assert "up to" not in found


def test_the_second_sentence_names_the_leader_without_a_modality() -> None:
    sentences = _content(METHOD_FINDINGS, _data(_row("without-ecg", -0.08))).values["sentences"]
    assert "without ECG: CLIP has the best recall@1" in sentences[1]
    assert "it is significantly better than 1 of 1 other methods" in sentences[1]


def test_a_leader_is_beside_what_is_attainable_also_where_that_is_less() -> None:
    data = _data(_row("without-ecg", -0.08))
    template = next(row for row in data.results if (row.run, row.task) == ("clip-0", FIRST))
    about = {"missingness": "without-ecg", "metric": "recall_at_1", "value": 0.17}
    data = replace(data, results=[*data.results, replace(template, run="oracle", **about)])
    sentence = _content(METHOD_FINDINGS, data).values["sentences"][1]
    assert "recall@1 (18 %; 17 % is attainable)" in sentence.replace("\N{NO-BREAK SPACE}", " ")


def test_the_figure_has_a_line_for_each_method() -> None:
    data = made_data(seeds=(0, 1, 2), tasks=(FIRST,))
    (panel,) = _content(METHOD_FINDINGS, data).panels
    assert len([row for row in panel.body if row[0].startswith("Symile")]) == 3
    made = with_all_that_is_told(made_data(seeds=(0, 1, 2))).seeds
    means = [replace(row, task=FIRST, metric="recall_at_1") for row in made]
    (panel,) = _content(METHOD_FINDINGS, replace(data, seeds=means)).panels
    assert [row[0] for row in panel.body if row[0] != "oracle"] == ["Symile", "CLIP"]
    assert panel.title.endswith("recall@1, mean over seeds")
    assert panel.head[0] == "method"
    assert "mean over seeds" in panel.picture.title


def test_means_are_over_seeds_and_a_lower_value_can_be_better() -> None:
    data = made_data(seeds=(0, 1), tasks=(FIRST,))
    template = next(row for row in data.results if row.run == "symile-0")
    values = {"symile-0": 0.9, "symile-1": 0.1, "clip-0": 0.6, "clip-1": 0.6}
    rows = [
        replace(template, run=run, missingness="complete", metric="recall_at_1", value=value)
        for run, value in values.items()
    ]
    data = replace(data, results=rows)
    decision = Decision(FIRST, "complete", ("Symile", "CLIP"), "CLIP", "by 0.1", 1.0)
    (found,) = best_methods(data.scores, [decision], tasks=data.tasks, trained=data.series)
    assert (found.best, found.worse) == ("CLIP", {"Symile"})
    assert found.values == pytest.approx({"CLIP": 0.6, "Symile": 0.5})
    lower = {FIRST: {**data.tasks[FIRST], "higher_is_better": False}}
    (found,) = best_methods(data.scores, [], tasks=lower, trained=data.series)
    assert found.best == "Symile"
