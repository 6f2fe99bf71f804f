from dataclasses import replace
from pathlib import Path

from clinical_symile.config.catalog import open_catalog
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.reporting.run_data import costs_frame, read_exact_runs, read_runs, task_table
from clinical_symile.tracking.results import write_rows
from clinical_symile.tracking.run import Run
from tests.reporting.test_results import LESS, RESULT, TASKS


def test_a_task_is_told_with_the_direction_of_its_primary_metric():
    task = read_task(open_catalog(), "retrieval/cxr_given_ecg_labs")
    assert isinstance(task, Retrieval)
    table = task_table(task)
    assert (table["primary"], table["higher_is_better"]) == ("recall_at_1", True)
    assert table["query"] == ["ecg", "labs"]


def test_results_of_other_tasks_are_left_out(tmp_path: Path):
    other = replace(RESULT, task="retrieval/other")
    write_rows(tmp_path / "results.jsonl", [RESULT, replace(LESS, n_subjects=9), other])
    data = read_runs([Run(tmp_path)], TASKS)
    assert data.results == [replace(RESULT, rounded=True)]
    assert read_exact_runs([Run(tmp_path)], TASKS).results == [RESULT]
    assert [row.missingness for row in data.unscored] == [LESS.missingness]
    assert data.runs == []


def test_costs_are_a_frame_with_a_row_per_run_old_ones_too():
    spent = {"wall_s": 2.0}
    new = {"name": "new", "costs": {"parameters_used": 5, "training": spent, "embedding": spent}}
    frame = costs_frame([{"name": "old"}, new])
    assert frame["run"].tolist() == ["old", "new"]
    assert frame.set_index("run").loc["new", ["parameters_used", "training_s"]].tolist() == [5, 2.0]
    assert frame.set_index("run").loc["old"].isna().all()
    assert "evaluation_s" in costs_frame([])
