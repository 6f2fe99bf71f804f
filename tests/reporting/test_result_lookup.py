from dataclasses import replace

from clinical_symile.reporting.result_lookup import ResultTable, method_series
from tests.helpers.report_data import FIRST, made_data, made_run


def test_results_are_found_by_run_task_pattern_and_metric():
    table = ResultTable(made_data().results)
    row = table.get("symile-0", FIRST, "complete", "recall_at_1")
    assert row is not None
    assert row.value == 0.71
    assert table.get("symile-0", FIRST, "complete", "auroc") is None
    assert table.best(FIRST, "complete", "recall_at_1") == 0.76
    assert table.chance(FIRST, "complete", "recall_at_1") == 0.1
    assert table.patterns(FIRST)[0] == "complete"
    assert table.has_task("clip-0", FIRST)
    assert not table.has_task("clip-1", FIRST)


def test_no_small_count_follows_from_the_sizes_of_two_tasks():
    rows = made_data().results
    counts = sorted({row.n_samples for row in rows})
    larger = replace(rows[0], task="classification/other", n_samples=counts[-1] + 6)
    words = ResultTable([*rows, larger]).sizes
    assert words[counts[-1] + 6] == str(counts[-1] + 6)
    assert words[counts[-1]].startswith(">")


def test_runs_that_differ_by_seed_alone_share_a_method_and_a_colour():
    data = made_data(seeds=(0, 1))
    symile = [one for one in data.series if one.method == "Symile"]
    assert [one.label for one in symile] == ["Symile, seed 0", "Symile, seed 1"]
    assert len({one.family for one in symile}) == 1


def test_two_tasks_of_one_objective_are_told_apart_by_their_names():
    runs = [made_run("symile", 0), {**made_run("symile", 0), "name": "b", "task": "pretraining/b"}]
    labels = [one.label for one in method_series(runs, [])]
    assert labels == ["symile", "b"]
    task = "pretraining/robustness/clip_without_ecg"
    runs[1] = {**runs[1], "task": task}
    assert method_series(runs, [])[1].label == "clip without ecg"


def test_a_run_without_a_record_keeps_its_own_name():
    data = made_data()
    others = method_series([], [row.run for row in data.results])
    assert [one.label for one in others] == ["symile-0", "clip-0"]
