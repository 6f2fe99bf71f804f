"""What rests on fewer than ten people stays in the run's folder."""

from dataclasses import replace
from pathlib import Path

from clinical_symile.reporting.results import Results
from clinical_symile.tracking.benchmark_tables import MaskAuroc
from clinical_symile.tracking.disclosure import (
    shareable,
    withheld_patterns,
    without_folders,
    without_withheld,
)
from clinical_symile.tracking.results import Result, SkippedResult, read_rows
from tests.reporting.test_results import COMPARISON, LESS, OTHER_RUN, RESULT

FEW = replace(LESS, n_smallest_class=4)
HIDDEN = withheld_patterns([RESULT, OTHER_RUN, FEW])


def test_results_on_fewer_than_ten_subjects_become_reasons() -> None:
    few = replace(LESS, n_subjects=9)
    shown, withheld = without_withheld([RESULT, few])
    assert shown == [RESULT]
    (reason,) = withheld
    assert (reason.missingness, reason.code) == (few.missingness, "CS-S017")


def test_the_cell_of_a_result_on_few_of_a_class_is_withheld() -> None:
    assert {("symile-0", RESULT.task, "mcar-30")} == HIDDEN


def test_a_comparison_is_left_out_if_either_run_or_either_pattern_is_withheld() -> None:
    shown = [COMPARISON, replace(COMPARISON, run="a", baseline="b", missingness="mcar-30")]
    hidden = [
        replace(COMPARISON, missingness="mcar-30"),
        replace(COMPARISON, run="clip_0", baseline="symile-0", missingness="mcar-30"),
        replace(COMPARISON, baseline="symile-0", against="mcar-30"),
    ]
    assert shareable([*shown, *hidden], HIDDEN) == shown


def test_a_table_without_runs_leaves_out_the_pattern() -> None:
    mask = MaskAuroc(
        **{"cohort": "c", "task": RESULT.task, "missingness": "complete", "part": None},
        **{"value": 0.5, "low": 0.4, "high": 0.6, "expected": None, "digest": "d"},
    )
    assert shareable([mask, replace(mask, missingness="mcar-30")], HIDDEN) == [mask]


def test_saved_and_written_results_have_no_value_of_few(tmp_path: Path) -> None:
    results = Results((RESULT, FEW), synthetic=True)
    results.save(tmp_path)
    assert read_rows(tmp_path / "results.jsonl", Result) == [RESULT]
    (reason,) = read_rows(tmp_path / "unscored.jsonl", SkippedResult)
    assert reason.missingness == "mcar-30"
    assert "mcar-30" not in results.to_csv(tmp_path / "table.csv").read_text()
    assert "mcar-30" not in results.to_latex()
    assert "0.300" not in results._repr_html_()
    assert len(results.to_frame()) == 2


def test_no_path_of_this_machine_leaves_with_a_record() -> None:
    record = {
        "command": ["train", "--out=/home/ann/x", "--set", "dim=4", "~/secret", "file:///home/y"],
        "definition": {"start": "../bob/runs/clip-0", "extends": "pretraining/clip"},
    }
    assert without_folders(record) == {
        "command": ["train", "--out=x", "--set", "dim=4", "secret", "y"],
        "definition": {"start": "clip-0", "extends": "pretraining/clip"},
    }
