"""Tables of results and differences fit the width of a terminal, however many runs there are."""

from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from clinical_symile.cli.result_tables import comparison_tables, result_tables
from clinical_symile.tracking.results import Comparison, Result, SkippedResult

TASK = "retrieval/cxr_given_ecg_labs"
PRIMARY = {TASK: "recall_at_1", "classification/x": "auprc"}
ABOUT: dict[str, Any] = {
    "cohort": "c",
    "task": TASK,
    "split": "held_out",
    "n_samples": 100,
    "n_subjects": 90,
    "metric": "recall_at_1",
    "digest": "d",
}
WAYS = ("complete", "masked_cube", "subsets", "dropout", "masked_cube_mcar_50", "indicator")


def result(run: str) -> Result:
    return Result(
        **ABOUT,
        run=run,
        missingness="without-labs",
        value=0.25,
        low=0.2,
        high=0.3,
        chance=0.1,
        seed=0,
        interval="bca",
        hidden={},
        mask="m",
    )


def printed(parts: Any, width: int) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= width
    return "\n".join(lines)


def test_of_few_runs_each_number_has_its_interval() -> None:
    rows = [result(run) for run in ("symile-0", "clip-0", "oracle")]
    text = printed(result_tables(rows, [], primary=PRIMARY, width=100), 100)
    assert text.count("0.250 [0.200, 0.300]") == 3
    assert f"{TASK}: recall_at_1, chance 0.100" in text
    assert "oracle (ceiling)" in text


def test_no_small_count_follows_from_two_tables_that_are_shown_together() -> None:
    own, other = result("symile-0"), replace(result("prevalence"), n_samples=106)
    alone = printed(result_tables([own], [], primary=PRIMARY, width=80), 80)
    both = printed(result_tables([own], [], primary=PRIMARY, width=80, beside=[other]), 80)
    assert " 100 " in alone
    assert " 100 " not in both
    assert " >96 " in both


@pytest.mark.parametrize("width", [60, 80, 120, 160])
def test_of_many_runs_there_are_numbers_alone_and_no_word_is_cut(width: int) -> None:
    ways = (*WAYS, "learned", "masked_cube_mnar_50")
    rows = [result(run) for run in (*(f"missingness-{way}-0" for way in ways), "oracle")]
    text = printed(result_tables(rows, [], primary=PRIMARY, width=width), width)
    assert text.count("0.250") == len(rows)
    assert "0.200" not in text
    assert "intervals are in results.jsonl" in text
    assert "…" not in text
    assert "missingness-" not in text
    for word in (*ways, "without-labs", TASK):
        assert word in text


def test_a_chance_that_differs_between_patterns_has_a_column() -> None:
    rows = [replace(result("a-0"), missingness="complete"), replace(result("a-0"), chance=0.2)]
    text = printed(result_tables(rows, [], primary=PRIMARY, width=80), 80)
    assert "chance" in text.splitlines()[3]
    assert ("0.100" in text, "0.200" in text) == (True, True)


def test_what_was_not_scored_or_is_withheld_is_said_in_its_place() -> None:
    other = {"task": "classification/x", "metric": "auprc", "n_samples": 8}
    rows = [result("a-0"), replace(result("b-0"), **other)]
    about = {"task": "classification/x", "missingness": "mcar-30", "digest": "d"}
    skipped = SkippedResult(run="a-0", cohort="c", reason="r", **about)
    text = printed(result_tables(rows, [skipped], primary=PRIMARY, width=100), 100)
    assert "withheld (<10)" in text
    assert "mcar-30" in text
    assert "not scored" in text
    assert printed(result_tables([], [skipped], primary=PRIMARY, width=80), 80)


@pytest.mark.parametrize("tests", [("McNemar",), ("McNemar", None)])
def test_a_difference_has_its_interval_in_80_columns(tests: tuple[str | None, ...]) -> None:
    rows = [
        Comparison(
            **ABOUT,
            run="symile-0",
            baseline="clip-0",
            missingness=f"mcar-{place}",
            difference=0.1,
            low=0.05,
            high=0.15,
            p_holm=0.001,
            test=test,
        )
        for place, test in enumerate(tests)
    ]
    text = printed(comparison_tables(rows), 80)
    assert text.count("+0.100 [+0.050, +0.150]") == len(rows)
    assert "symile-0 -" in text
    assert ("recall_at_1, McNemar" in text) == (len(tests) == 1)


def test_the_name_of_a_task_is_whole_above_a_narrow_table():
    task = "our_own_catalog/classification/in_hospital_mortality"
    rows = [replace(result("clip-0"), task=task)]
    shown = printed(result_tables(rows, [], primary={task: "recall_at_1"}, width=80), 80)
    assert f"{task}: recall_at_1, chance 0.100" in shown
