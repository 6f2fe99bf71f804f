"""`clinical-symile evaluate` of a run and of an external model's file."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

import clinical_symile as cs

TASK = "retrieval/cxr_given_ecg_labs"


def test_only_the_tasks_and_patterns_of_the_command_are_shown(
    run: Callable[..., tuple[int, str, str]], benchmark_folder: Path
):
    command = ["evaluate", benchmark_folder / "runs/clip-0", "--store", benchmark_folder / "store"]
    status, shown, _ = run(*command, "--tasks", TASK, "--missingness", "without-ecg")
    assert status == 0
    assert "without-ecg" in shown
    assert "without-labs" not in shown
    assert "clinical-symile dashboard " in shown


def test_a_file_of_predictions_with_labels_needs_no_store(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
):
    rows = [
        {
            "subject_id": n,
            "prediction_time": "2020-01-01",
            "boolean_value": n % 2 == 1,
            "predicted_boolean_probability": 0.3 + 0.4 * (n % 2),
        }
        for n in range(60)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "my model.csv", index=False)
    command = ["evaluate", "--predictions", tmp_path / "my model.csv", "--out", tmp_path / "out"]
    status, shown, said = run(*command)
    assert (status, said) == (0, "")
    assert "my_model" in shown
    frame = cs.open_results(tmp_path / "out").to_frame()
    assert frame.loc[frame["metric"] == "auroc", "value"].tolist() == [1.0]


def test_the_rule_for_a_missing_query_modality_reaches_the_results(
    run: Callable[..., tuple[int, str, str]], benchmark_folder: Path
):
    store = benchmark_folder / "store"
    command = ["--store", store, "--tasks", TASK, "--missing-query", "marginalize"]
    assert run("evaluate", benchmark_folder / "runs/symile-0", *command)[0] == 0
    status, _, said = run("evaluate", benchmark_folder / "runs/clip-0", *command)
    assert status == 1
    assert "missing query" in said or "missing_query" in said


def test_options_that_would_be_ignored_are_refused(run: Callable[..., tuple[int, str, str]]):
    status, _, said = run("evaluate", "a", "--store", "b", "--objective", "clip")
    assert status == 1
    assert "takes no --objective: RUN was trained with one" in said
    there = ["evaluate", "a", "--store", "b", "--out", "c", "--missing-query", "drop"]
    assert "with --out takes no --missing-query" in run(*there)[2]
    file = ["evaluate", "--predictions", "a.csv", "--out", "b", "--missing-query", "drop"]
    assert "takes no --missing-query: FILE has finished scores" in run(*file)[2]
