"""`sample_size`: which comparisons it reads, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import pytest

from clinical_symile.api.planning import sample_size
from clinical_symile.errors import DataError
from clinical_symile.evaluation.sample_size import AMONG_ALL
from clinical_symile.tracking.results import write_rows
from tests.evaluation.test_sample_size import compared


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        compared(),
        compared(missingness="mcar-30"),
        compared(task="classification/y", metric="auroc", baseline="oracle"),
    ]
    write_rows(tmp_path / "comparisons.jsonl", rows)
    write_rows(
        tmp_path / "losses.jsonl", [replace(rows[1], baseline="symile-0", against="complete")]
    )
    return tmp_path


def test_a_folder_has_differences_and_losses_and_a_file_its_own(folder: Path):
    found = sample_size(folder, difference=0.05)
    assert [row.against for row in found] == [None, None, None, "complete"]
    assert len(sample_size(folder / "losses.jsonl", difference=0.05)) == 1


def test_runs_tasks_and_patterns_choose_comparisons(folder: Path):
    chosen = sample_size(folder, margin=0.05, runs=["symile-0", "clip-0"], tasks=["retrieval/*"])
    assert [(row.baseline, row.missingness) for row in chosen] == [
        ("clip-0", "complete"),
        ("clip-0", "mcar-30"),
        ("symile-0", "mcar-30"),
    ]
    (row,) = sample_size(folder, margin=0.05, tasks=["classification/y"])
    assert row.metric == "auroc"
    assert {r.missingness for r in sample_size(folder, margin=0.1, missingness=["complete"])} == {
        "complete"
    }


def test_stars_choose_runs_tasks_and_patterns_alike(folder: Path):
    chosen = sample_size(folder, margin=0.05, runs=["symile-*", "clip-*"], missingness=["mcar-*"])
    assert [(row.baseline, row.missingness) for row in chosen] == [
        ("clip-0", "mcar-30"),
        ("symile-0", "mcar-30"),
    ]
    assert len(sample_size(folder, margin=0.05, tasks=["classification/*"])) == 1


def test_a_task_among_all_samples_is_refused_with_the_reason(folder: Path):
    name = "retrieval/more/cxr_given_ecg_labs_among_all"
    write_rows(folder / "comparisons.jsonl", [compared(), compared(task=name)])
    other, among = sample_size(folder / "comparisons.jsonl", difference=0.05)
    assert (other.reason, among.reason) == (None, AMONG_ALL)
    assert among.superior is None


def test_names_that_are_not_there_are_refused_with_the_nearest(folder: Path):
    with pytest.raises(DataError, match="did you mean 'symile-0'") as found:
        sample_size(folder, margin=0.05, runs=["symile-1", "klip"])
    assert len(found.value.problems) == 2
    with pytest.raises(DataError, match="unknown pattern 'everything'"):
        sample_size(folder, margin=0.05, missingness=["everything"])
    with pytest.raises(DataError, match="unknown task"):
        sample_size(folder, margin=0.05, tasks=["segmentation/*"])
    with pytest.raises(DataError, match="no comparison of these runs, tasks and patterns"):
        sample_size(folder, margin=0.05, runs=["clip-0", "oracle"])


def test_a_place_without_comparisons_is_refused_with_what_to_do(tmp_path: Path):
    for path in (tmp_path, tmp_path / "gone.jsonl"):
        with pytest.raises(DataError, match="has no comparisons; expected"):
            sample_size(path, margin=0.05)
