from dataclasses import replace

import pytest

from clinical_symile.reporting.result_lookup import ResultTable, mean_over_seeds, method_series
from tests.helpers.report_data import FIRST, made_data, made_run, with_all_that_is_told


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


@pytest.mark.parametrize("named", ["symile-0", "pretraining/symile"])
def test_a_method_with_several_seeds_is_one_line_of_means(named: str):
    data = made_data(seeds=(0, 1), tasks=(FIRST,))
    runs = [{**run, "task": f"pretraining/{run['name'][:-2]}"} for run in data.runs]
    data = replace(data, runs=runs)
    (template, *_) = with_all_that_is_told(made_data()).seeds
    about = {"task": FIRST, "method": named, "metric": "recall_at_1"}
    mean = replace(template, **about, mean=0.7, low=0.6, high=0.8)
    unknown = replace(mean, method="pretraining/other", mean=0.1)
    lines = mean_over_seeds(
        data.scores, [mean, unknown], methods=data.methods_by_task, trained=data.trained
    )
    table, series = lines.scores, lines.series
    assert [one.label for one in series] == ["Symile", "CLIP"]
    rows = [table.get(one.run, FIRST, "complete", "recall_at_1") for one in series]
    known = [(row.value, row.low, row.high) for row in rows if row is not None]
    # CLIP has two seeds and no mean: the value of one is not drawn as one.
    assert known == [(0.7, 0.6, 0.8)]
    assert lines.words == ", mean over seeds"
    # Nor is another pattern's; what has no seeds stays.
    assert table.get("symile-0", FIRST, "mcar-30", "recall_at_1") is None
    assert table.best(FIRST, "mcar-30", "recall_at_1") is not None
    nothing = mean_over_seeds(
        data.scores, [unknown], methods=data.methods_by_task, trained=data.trained
    )
    assert (nothing.scores, nothing.words) == (data.scores, "")
