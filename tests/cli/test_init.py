"""`clinical-symile init cohort`."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.parametrize("like", ["tables", "meds"])
def test_the_files_that_are_written_pass_the_command_that_is_named(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, like: str
):
    at = tmp_path / "mine"
    status, shown, said = run("init", "cohort", "st_elsewhere", "--at", at, "--like", like)
    assert (status, said) == (0, "")
    *files, following = shown.splitlines()
    assert str(at / "cohorts/st_elsewhere/cohort.toml") in files
    assert all(Path(file).is_file() for file in files)
    command = following.removeprefix("Next: `clinical-symile ").removesuffix("`.")
    status, shown, said = run(*command.split())
    assert (status, said) == (0, "")
    assert "st_elsewhere: " in shown


@pytest.mark.parametrize(
    ("name", "said"),
    [("st-elsewhere", "expected letters, digits and _"), ("synthetic", "comes with")],
)
def test_a_name_that_cannot_be_taken_is_refused(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, name: str, said: str
):
    status, shown, answer = run("init", "cohort", name, "--at", tmp_path / "mine")
    assert (status, shown) == (1, "")
    assert said in answer
    assert answer.endswith("[CS-F023]\n")
    assert not (tmp_path / "mine").exists()


def test_nothing_is_overwritten(run: Callable[..., tuple[int, str, str]], tmp_path: Path):
    command = ["init", "cohort", "st_elsewhere", "--at", tmp_path]
    run(*command)
    file = tmp_path / "cohorts/st_elsewhere/cohort.toml"
    file.write_text("mine")
    assert run(*command)[0] == 1
    assert file.read_text() == "mine"


def test_a_catalog_that_a_full_disk_cut_short_is_completed(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
):
    command = ["init", "cohort", "st_elsewhere", "--at", tmp_path]
    run(*command)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for file in [*files][1:]:
        file.unlink()
    assert run(*command)[0] == 0
    assert files == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert run(*command)[0] == 1, "a catalog that is whole is not written again"
