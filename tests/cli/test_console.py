"""What is printed stays readable, however many runs there are."""

from typing import Any

import pytest
from rich.console import Console

from clinical_symile.cli.console import show_settled, show_synced, show_unscored
from clinical_symile.config.catalog import Catalog
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.task_selection import applicable_tasks
from clinical_symile.tracking.mlflow import SyncResult
from clinical_symile.tracking.results import Comparison, SkippedResult

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
    assert f"{TASK}: {settled} of 70 are significant" in captured.get()


def test_the_command_that_opens_the_page_of_all_runs_is_named() -> None:
    console = Console(width=160)
    with console.capture() as captured:
        show_synced(
            SyncResult(uri="sqlite:////x/mlflow.db", run_id="r", page="#/experiments/1/runs"),
            console,
        )
    assert "clinical-symile dashboard /x " in captured.get()


def unscored(code: str, reason: str) -> SkippedResult:
    about = {"run": "a-0", "cohort": "c", "task": TASK, "missingness": "only-cxr"}
    return SkippedResult(**about, reason=reason, digest="d", code=code)


@pytest.mark.parametrize("verbose", [False, True])
def test_what_does_not_apply_is_counted_and_listed_on_request(
    verbose: bool, synthetic_store: CohortStore, catalog: Catalog
) -> None:
    _, notes = applicable_tasks(catalog, synthetic_store, patterns=("default",))
    assert notes
    rows = [
        unscored("CS-S009", "no labs are available."),
        unscored("CS-S014", "needs both classes"),
    ]
    console = Console(width=500)
    with console.capture() as captured:
        show_unscored(rows, [*notes, "labs: converted g/L."], console, verbose=verbose)
    text = captured.get()
    assert all((note in text) == verbose for note in notes)
    assert ("no labs are available" in text) == verbose
    counted = f"{len(notes) + 1} tasks or patterns do not apply"
    assert (counted in text) != verbose
    assert "needs both classes" in text
    assert "labs: converted g/L." in text
