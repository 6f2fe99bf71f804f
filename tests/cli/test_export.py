"""`clinical-symile export` of a benchmark's and of a run's folder."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import clinical_symile as cs

START = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


def _files(shown: str) -> list[Path]:
    return [Path(line) for line in shown.splitlines()]


def test_tables_of_a_benchmark_hold_what_the_api_reads(
    run: Callable[..., tuple[int, str, str]], benchmark_folder: Path, tmp_path: Path
):
    status, shown, said = run(
        "export", benchmark_folder, "--format", "csv", "--format", "latex", "--to", tmp_path / "x"
    )
    assert (status, said) == (0, "")
    written = _files(shown)
    assert all(path.is_file() for path in written)
    assert {"results.csv", "comparisons.csv", "results.tex"} <= {path.name for path in written}
    table = pd.read_csv(tmp_path / "x/results.csv")
    expected = cs.open_results(benchmark_folder).to_frame()
    assert table["value"].tolist() == pytest.approx(expected["value"].tolist())
    assert (tmp_path / "x/results.tex").read_text().startswith(r"\begin{tabular}")


@pytest.mark.parametrize("form", ["png", "svg", pytest.param("pdf", marks=pytest.mark.slow)])
def test_figures_of_a_benchmark_stand_alone(
    run: Callable[..., tuple[int, str, str]], benchmark_folder: Path, tmp_path: Path, form: str
):
    status, shown, _ = run("export", benchmark_folder, "--format", form, "--to", tmp_path)
    assert status == 0
    written = _files(shown)
    assert written
    for path in written:
        assert path.suffix == f".{form}"
        assert path.read_bytes().startswith(START[form])
    if form == "svg":
        assert all(b"var(--" not in path.read_bytes() for path in written)


def test_a_run_is_exported_into_its_own_folder(
    run: Callable[..., tuple[int, str, str]], benchmark_folder: Path
):
    folder = benchmark_folder / "runs/symile-0"
    status, shown, _ = run("export", folder, "--format", "csv", "--format", "svg")
    assert status == 0
    written = _files(shown)
    assert all(path.parent == folder / "export" for path in written)
    assert {path.suffix for path in written} == {".csv", ".svg"}


def test_a_folder_without_results_and_a_wrong_format_are_refused(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
):
    status, _, said = run("export", tmp_path, "--format", "csv")
    assert status == 1
    assert said.endswith("[CS-R011]\n")
    status, _, said = run("export", tmp_path, "--format", "gif")
    assert status == 1
    assert "unknown word 'gif'" in said


def test_rows_of_patients_are_exported_by_themselves_and_with_a_time(
    refused: Callable[..., str], benchmark_folder: Path, tmp_path: Path
):
    said = refused("export", benchmark_folder, "--format", "meds", "--format", "csv")
    assert "Export meds by itself" in said
    assert "name a folder of its own" in refused("export", benchmark_folder, "--format", "meds")
    target = tmp_path / "meds"
    said = refused("export", benchmark_folder, "--format", "meds", "--to", target)
    codes = [line.rpartition("[")[2] for line in said.splitlines()]
    assert codes == ["CS-R026]", "CS-R011]"]  # no time is kept, and the task is retrieval
    assert not target.exists()
