"""`clinical-symile benchmark`."""

from collections.abc import Callable
from pathlib import Path

import pytest

import clinical_symile as cs


def test_a_benchmark_leaves_a_store_runs_results_and_a_report(benchmark_folder: Path):
    assert cs.open_store(benchmark_folder / "store").cohort == "synthetic"
    runs = {path.name for path in (benchmark_folder / "runs").iterdir() if path.is_dir()}
    assert {"symile-0", "clip-0"} <= runs
    assert set(cs.open_results(benchmark_folder).to_frame()["run"]) >= {"symile-0", "clip-0"}
    assert (benchmark_folder / "report.html").is_file()


def test_a_wrong_plan_is_refused_before_anything_is_made(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    status, _, said = run("benchmark", "benchmark", "--cohort", "syntetic", "--out", "b")
    assert status == 1
    assert "did you mean 'synthetic'? " in said
    assert not (tmp_path / "b").exists()
