"""What is printed stays readable, however many runs there are."""

from typing import Any

import pytest
from rich.console import Console

from clinical_symile.cli.console import results_table, show_settled, show_synced
from clinical_symile.tracking.mlflow import SyncResult
from clinical_symile.tracking.results import Comparison, Result

TASK = "retrieval/cxr_given_ecg_labs"
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


def printed(what: Any) -> str:
    console = Console(width=160, record=True, quiet=False)
    with console.capture() as captured:
        console.print(what)
    return captured.get()


def test_of_few_runs_each_number_has_its_interval() -> None:
    rows = [result(run) for run in ("missingness-complete-0", "missingness-subsets-0", "oracle")]
    text = printed(results_table(rows, [], primary={TASK: "recall_at_1"}))
    assert text.count("0.250 [0.200, 0.300]") == 3
    assert "missingness-complete-0" in text
    assert "oracle (ceiling)" in text


def test_of_many_runs_there_are_numbers_alone_and_no_word_is_cut() -> None:
    ways = (*WAYS, "learned", "masked_cube_mnar_50")
    rows = [result(run) for run in (*(f"missingness-{way}-0" for way in ways), "oracle")]
    text = printed(results_table(rows, [], primary={TASK: "recall_at_1"}))
    assert text.count("0.250") == len(rows)
    assert "0.200" not in text
    assert "intervals are in results.jsonl" in text
    assert "…" not in text
    assert "without-labs" in text
    assert "indicator" in text
    task = "".join(line.split("│")[1].strip() for line in text.splitlines() if "│" in line)
    assert TASK in task
    assert "missingness-" not in text


@pytest.mark.parametrize("settled", [0, 7])
def test_of_many_differences_it_is_told_how_many_are_told_apart(settled: int) -> None:
    rows = [
        Comparison(
            **ABOUT,
            run="a-0",
            baseline="b-0",
            missingness=f"mcar-{place}",
            difference=0.1,
            low=0.05,
            high=0.15,
            p_holm=0.001 if place < settled else 0.2,
        )
        for place in range(70)
    ]
    console = Console(width=160)
    with console.capture() as captured:
        show_settled(rows, console)
    assert f"{TASK}: {settled} of 70 are told apart" in captured.get()


def test_the_command_that_opens_the_page_of_all_runs_is_named() -> None:
    console = Console(width=160)
    with console.capture() as captured:
        show_synced(
            SyncResult(uri="sqlite:////x/mlflow.db", run_id="r", page="#/experiments/1/runs"),
            console,
        )
    assert "clinical-symile dashboard /x " in captured.get()
