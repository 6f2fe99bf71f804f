"""The few numbers of a run by which MLflow's table sorts and compares runs."""

from dataclasses import replace

import pytest

from clinical_symile.tracking._mlflow_results import MOST_HEADLINES, headline_metrics
from clinical_symile.tracking.results import Result
from tests.helpers.mlflow_runs import RESULT, snapshot_of


def rows_of(task: str, metric: str = "recall_at_1", chance: float | None = 0.1) -> list[Result]:
    values = {"complete": 0.7, "mcar-30": 0.5, "without-ecg": 0.2}
    return [
        replace(RESULT, task=task, metric=metric, chance=chance, missingness=pattern, value=value)
        for pattern, value in values.items()
    ]


def test_a_task_has_its_whole_its_worst_and_its_mean_over_patterns() -> None:
    found = headline_metrics(snapshot_of(*rows_of("retrieval/cxr_given_ecg_labs")))
    assert found == {
        "recall_at_1 complete cxr_given_ecg_labs": 0.7,
        "recall_at_1 worst pattern cxr_given_ecg_labs": 0.2,
        "recall_at_1 mean of patterns cxr_given_ecg_labs": pytest.approx(0.35),
        "retained share": pytest.approx((0.35 - 0.1) / (0.7 - 0.1)),
    }


def test_other_metrics_of_a_task_are_left_to_its_nested_run() -> None:
    rows = [*rows_of("retrieval/x", "recall_at_5"), *rows_of("retrieval/x")]
    assert {name.split()[0] for name in headline_metrics(snapshot_of(*rows))} == {
        "recall_at_1",
        "retained",
    }


def test_a_metric_of_which_less_may_be_better_has_no_worst_pattern() -> None:
    found = headline_metrics(snapshot_of(*rows_of("classification/x", "brier", None)))
    assert sorted(found) == ["brier complete x", "brier mean of patterns x"]


@pytest.mark.parametrize(
    ("n_tasks", "kinds"),
    [(4, {"complete", "worst", "mean"}), (6, {"complete", "worst"}), (13, {"complete"})],
)
def test_with_more_tasks_each_has_fewer_numbers(n_tasks: int, kinds: set[str]) -> None:
    rows = [row for n in range(n_tasks) for row in rows_of(f"retrieval/task_{n}")]
    found = headline_metrics(snapshot_of(*rows))
    assert {name.split()[1] for name in found} - {"share"} == kinds
    assert len(found) == n_tasks * len(kinds) + 1 <= MOST_HEADLINES


def test_there_are_never_more_than_there_is_room_for() -> None:
    rows = [row for n in range(40) for row in rows_of(f"retrieval/task_{n:02}")]
    found = headline_metrics(snapshot_of(*rows))
    assert len(found) == MOST_HEADLINES
    assert "recall_at_1 complete task_00" in found


def test_a_run_at_chance_has_no_retained_share() -> None:
    rows = [replace(row, value=0.1) for row in rows_of("retrieval/x")]
    assert "retained share" not in headline_metrics(snapshot_of(*rows))


def test_each_outcome_of_a_task_with_several_is_shown_while_there_is_room() -> None:
    parts = [
        replace(row, metric=f"auroc/{name}")
        for name in ("a<2", "a>2")
        for row in rows_of("classification/x")
    ]
    found = headline_metrics(snapshot_of(*rows_of("classification/x", "auroc"), *parts))
    assert found["auroc/a:lt:2 complete x"] == found["auroc/a:gt:2 complete x"] == 0.7
    assert not any("worst" in name for name in found if "/a" in name)


def test_a_run_without_results_has_none() -> None:
    assert headline_metrics(snapshot_of()) == {}


def test_tasks_of_two_catalogs_have_names_of_their_own() -> None:
    rows = [*rows_of("ours/x"), *[replace(row, value=0.3) for row in rows_of("theirs/x")]]
    found = headline_metrics(snapshot_of(*rows))
    assert found["recall_at_1 complete ours/x"] == 0.7
    assert found["recall_at_1 complete theirs/x"] == 0.3
