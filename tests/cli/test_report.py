"""`clinical-symile report`."""

from collections.abc import Callable
from pathlib import Path


def test_a_report_is_rendered_again(
    run: Callable[..., tuple[int, str, str]], benchmark_folder: Path
):
    page = benchmark_folder / "report.html"
    before = page.read_bytes()
    page.unlink()
    status, shown, _ = run("report", "benchmark", "--out", benchmark_folder)
    assert (status, shown) == (0, f"Report: {page}\n")
    assert page.read_bytes() == before


def test_a_folder_that_is_no_benchmark_is_refused(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
):
    status, shown, said = run("report", "benchmark", "--out", tmp_path)
    assert (status, shown) == (1, "")
    assert "expected the folder of a finished benchmark" in said
    assert said.endswith("[CS-R013]\n")
