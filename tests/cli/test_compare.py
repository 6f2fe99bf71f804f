"""`clinical-symile compare`."""

from collections.abc import Callable
from pathlib import Path

from clinical_symile.tracking.results import Comparison, read_rows

TASK = "retrieval/cxr_given_ecg_labs"


def test_two_runs_are_compared_and_the_differences_written(
    run: Callable[..., tuple[int, str, str]], benchmark_folder: Path, tmp_path: Path
):
    runs = [benchmark_folder / "runs" / name for name in ("symile-0", "clip-0")]
    command = ["compare", *runs, "--store", benchmark_folder / "store", "--tasks", TASK]
    status, shown, _ = run(*command, "--out", tmp_path)
    assert status == 0
    assert "paired bootstrap over subjects" in shown
    rows = read_rows(tmp_path / "comparisons.jsonl", Comparison)
    assert {(row.run, row.baseline) for row in rows} == {("symile-0", "clip-0")}
    assert (tmp_path / "losses.jsonl").is_file()


def test_one_run_cannot_be_compared(
    run: Callable[..., tuple[int, str, str]], benchmark_folder: Path
):
    runs = benchmark_folder / "runs"
    status, _, said = run("compare", runs / "clip-0", "--store", benchmark_folder / "store")
    assert status == 1
    assert said.endswith("[CS-S001]\n")
