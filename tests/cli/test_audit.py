"""`clinical-symile audit`."""

from collections.abc import Callable
from pathlib import Path


def test_the_findings_of_a_store_are_printed(
    run: Callable[..., tuple[int, str, str]], benchmark_folder: Path
):
    status, shown, said = run("audit", benchmark_folder / "store")
    assert status in (0, 1, 2)
    assert said == ""
    assert shown


def test_a_folder_that_is_no_store_is_refused(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
):
    status, shown, said = run("audit", tmp_path)
    assert (status, shown) == (1, "")
    assert said.endswith("[CS-D015]\n")
