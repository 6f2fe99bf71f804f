"""`clinical-symile check`."""

from collections.abc import Callable
from pathlib import Path

from tests.helpers.hospital import Hospital


def test_check_reports_all_problems(
    run: Callable[..., tuple[int, str, str]], hospital: Hospital, tmp_path: Path
):
    hospital.edit('access = "open"', 'access = "opn"')
    hospital.edit("size_px = 32", "size = 32")
    task = tmp_path / "tasks/mine/retrieval/x.toml"
    task.parent.mkdir(parents=True)
    task.write_text('kind = "retrievl"\n')
    report = tmp_path / "reports/mine.html.j2"
    report.parent.mkdir()
    report.write_text("<p>")
    status, shown, said = run("check", "--catalog", tmp_path)
    assert status == 1
    assert " cohorts, " in shown
    for part in ("access is 'opn'", "did you mean 'retrieval'", "has no definition"):
        assert part in said
    hospital.edit('access = "opn"', 'access = "open"')
    assert "did you mean 'size_px'" in run("check", "--catalog", tmp_path)[2]


def test_check_is_quiet_where_all_is_well(run: Callable[..., tuple[int, str, str]]):
    status, shown, said = run("check")
    assert (status, said) == (0, "")
    assert len(shown.splitlines()) == 1 + len(run("list", "cohorts")[1].splitlines()[1:])
    (told,) = [line for line in shown.splitlines() if line.startswith("synthetic: ")]
    assert "tasks apply. Tasks on cardiomegaly, in_hospital_mortality" in told
    assert "do not: the cohort has no such outcome. Its outcomes: deterioration, enlarged" in told
    assert "Tasks with published candidates do not: the cohort publishes no lists." in told


def test_check_tells_of_the_cohorts_of_the_catalogs_that_are_given(
    run: Callable[..., tuple[int, str, str]], hospital: Hospital
):
    shown = run("check", "--catalog", hospital.definition.parents[2])[1]
    first, told = shown.splitlines()
    assert first.endswith("read.")
    assert told.startswith("small: ")
