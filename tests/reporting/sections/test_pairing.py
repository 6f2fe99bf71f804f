"""Curves over whole and mismatched samples, and what their sentences say, on made results."""

from dataclasses import replace
from typing import Any

import pytest

from clinical_symile.reporting.first_screen import PAIRING_FINDINGS
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.sections.pairing import (
    PAIRING,
    draw_pairing,
    pairing_curves,
    pairing_legend,
    pairing_panels,
    pairing_sentences,
)
from clinical_symile.tracking.results import Comparison
from tests.helpers.report_data import FIRST, made_comparison, made_data, made_run

WORDS = ("matched", "paired-50", "paired-10", "mismatched-20")
VALUES = {
    "symile": (0.7, 0.5, 0.3, 0.6),
    "clip": (0.4, 0.4, 0.39, 0.41),
}


def _run(objective: str, word: str, seed: int = 0, **changes: Any) -> dict[str, Any]:
    made = made_run(objective, seed)
    task = made["task"] if word == "matched" else f"{made['task']}_{word.replace('-', '_')}"
    definition = {"objective": {"name": objective}, "description": word, **changes}
    if word != "matched":
        definition["pairs"] = word
    return {**made, "name": f"{objective}-{word}-{seed}", "task": task, "definition": definition}


def _data(*comparisons: Comparison, seeds: tuple[int, ...] = (0,)) -> ReportData:
    data = made_data(tasks=(FIRST,))
    template = next(row for row in data.results if (row.run, row.task) == ("symile-0", FIRST))
    runs, results = [], [row for row in data.results if row.run == "oracle"]
    for objective, values in VALUES.items():
        for word, value in zip(WORDS, values, strict=True):
            for seed in seeds:
                runs.append(_run(objective, word, seed))
                about: dict[str, Any] = {"missingness": "complete", "metric": "recall_at_1"}
                ends = {"value": value, "low": value - 0.05, "high": value + 0.05}
                results.append(replace(template, run=runs[-1]["name"], **about, **ends))
    return replace(data, runs=runs, results=results, comparisons=comparisons, histories={})


def _row(run: str, baseline: str, difference: float, p_holm: float = 0.001) -> Comparison:
    return made_comparison(f"{run}-0", f"{baseline}-0", "complete", difference, p_holm)


def _sentences(data: ReportData) -> list[str]:
    found = pairing_sentences(
        data.scores, data.decisions, tasks=data.tasks, runs=data.runs, trained=data.trained
    )
    return [one.replace("\N{NO-BREAK SPACE}", " ") for one in found]


def _runs(data: ReportData) -> dict[tuple[str, str], dict[int, str]]:
    return {
        (curve.label, curve.kind): {share: one.run for share, one in curve.runs.items()}
        for curve in pairing_curves(data.runs, data.trained)
    }


def test_a_run_with_unchanged_pairs_is_100_percent_whole_and_0_percent_mismatched() -> None:
    assert _runs(_data()) == {
        ("Symile", "paired"): {
            100: "symile-matched-0",
            50: "symile-paired-50-0",
            10: "symile-paired-10-0",
        },
        ("Symile", "mismatched"): {0: "symile-matched-0", 20: "symile-mismatched-20-0"},
        ("CLIP", "paired"): {100: "clip-matched-0", 50: "clip-paired-50-0", 10: "clip-paired-10-0"},
        ("CLIP", "mismatched"): {0: "clip-matched-0", 20: "clip-mismatched-20-0"},
    }


def test_runs_that_differ_in_more_than_their_pairs_share_no_curve() -> None:
    data = _data()
    other = _run("symile", "paired-50", epochs=3)
    runs = [other if run["name"] == other["name"] else run for run in data.runs]
    found = _runs(replace(data, runs=runs))
    assert list(found["Symile", "paired"]) == [100, 10]
    assert _runs(replace(data, runs=[runs[0], other])) == {}


def test_each_seed_has_a_line_and_shuffled_pairs_have_none() -> None:
    data = _data(seeds=(0, 1))
    assert [label for label, kind in _runs(data) if kind == "paired"] == [
        "Symile, seed 0",
        "Symile, seed 1",
        "CLIP, seed 0",
        "CLIP, seed 1",
    ]
    shuffled = _run("clip", "shuffled")
    assert _runs(replace(data, runs=[*data.runs, shuffled])) == _runs(data)


def test_two_curves_of_one_objective_are_named_by_their_matched_methods() -> None:
    words = ("matched", "paired-50")
    runs = [_run("symile", word) for word in words]
    runs += [
        {**_run("symile", word, epochs=3), "name": f"long-{word}", "task": f"pretraining/long_{n}"}
        for n, word in enumerate(words)
    ]
    assert [label for label, _ in _runs(replace(_data(), runs=runs))] == ["symile", "long 0"]


def test_a_table_has_a_row_for_each_method_and_a_column_for_each_share() -> None:
    data = _data()
    whole, mismatched = pairing_panels(
        data.scores, tasks=data.tasks, runs=data.runs, trained=data.trained
    )
    clean = [[cell.replace("\N{NO-BREAK SPACE}", " ") for cell in row] for row in whole.table]
    assert clean[0] == ["method", "10 % whole", "50 % whole", "100 % whole"]
    assert clean[1] == [
        "Symile",
        "30.0 % (25.0 to 35.0 %)",
        "50.0 % (45.0 to 55.0 %)",
        "70.0 % (65.0 to 75.0 %)",
    ]
    assert [row[0] for row in clean[1:]] == ["Symile", "CLIP", "oracle"]
    assert len(mismatched.head) == 3
    legend = pairing_legend(data.runs, data.trained, has_oracle=True)
    assert [label for _, label in legend.methods] == ["Symile", "CLIP"]
    # The colours are those of the matched runs elsewhere on the page.
    assert [family for family, _ in legend.methods] == [
        one.family for one in data.series if one.run in ("symile-matched-0", "clip-matched-0")
    ]


def test_a_sentence_names_the_shares_with_a_significant_loss_alone() -> None:
    data = _data(
        _row("symile-matched", "symile-paired-50", 0.2, 0.2),
        _row("symile-matched", "symile-paired-10", 0.4),
        _row("clip-matched", "clip-paired-50", 0.0, 1.0),
        _row("clip-matched", "clip-mismatched-20", -0.1),
    )
    whole, mismatched = _sentences(data)
    assert "Symile reaches 70 % with 100 % of the samples whole and 30 % with 10 %; " in whole
    assert "it is significantly worse with 10 %." in whole
    assert whole.endswith(
        "CLIP reaches 40 % with 100 % of the samples whole and 39 % with 10 %; these data show no "
        "difference at any compared share."
    )
    assert "60 % with 20 %; they were not compared on the same samples." in mismatched
    assert mismatched.endswith("it is significantly better with 20 %.")


@pytest.mark.parametrize(
    ("p_holm", "words"),
    [
        (0.001, "Symile is better than CLIP in 2 of 3 comparisons"),
        (0.2, "these data do not tell which method is better at any."),
    ],
)
def test_methods_are_compared_at_the_same_share_and_the_matched_runs_count_once(
    p_holm: float, words: str
) -> None:
    data = _data(
        _row("symile-matched", "clip-matched", 0.3, p_holm),
        _row("symile-paired-50", "clip-paired-50", 0.1, p_holm),
        _row("symile-paired-10", "clip-paired-10", -0.09, 0.5),
        _row("symile-paired-10", "clip-matched", -0.1),
    )
    found = _sentences(data)
    told = next(one for one in found if "at the same share" in one)
    assert words in told
    # What is decided comes first.
    assert found.index(told) == (0 if p_holm < 0.05 else len(found) - 1)


def test_without_two_shares_there_is_no_section_and_no_sentence() -> None:
    data = made_data()
    needs = {name: getattr(data, name) for name in PAIRING.needs}
    assert draw_pairing(**needs) is None
    assert _sentences(data) == []


def test_the_first_screen_has_the_curves_with_their_own_legend() -> None:
    data = _data(_row("symile-matched", "symile-paired-10", 0.4))
    needs = {name: getattr(data, name) for name in PAIRING_FINDINGS.needs}
    content = PAIRING_FINDINGS.draw(**needs)
    assert content is not None
    assert content.legend == pairing_legend(data.runs, data.trained, has_oracle=data.has_oracle)
    (panel,) = content.panels
    assert panel.head[-1] == "100\N{NO-BREAK SPACE}% whole"
    assert "worse with 10" in content.values["sentences"][0]
