"""`clinical-symile explain`."""

import pytest

from clinical_symile.cli.explain import explain_code, list_codes
from clinical_symile.cli.main import main
from clinical_symile.errors import ClinicalSymileError, error_codes


def test_explain_says_what_happened_why_and_what_to_do(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        main(["explain", "CS-D015"])
    shown = capsys.readouterr().out
    code = error_codes()["CS-D015"]
    assert stop.value.code == 0
    assert shown.startswith(f"CS-D015: {code.title}")
    assert code.meaning in shown
    assert code.action in shown


@pytest.mark.parametrize("written", ["cs-d015", "D015", "[CS-D015]", "d15"])
def test_a_code_may_be_written_in_short(written: str):
    assert explain_code(written) == explain_code("CS-D015")


@pytest.mark.parametrize("written", ["CS-DD015", "CS-X015", "D-015"])
def test_a_misspelled_code_is_answered_with_the_nearest(written: str):
    with pytest.raises(ClinicalSymileError, match=r"did you mean 'CS-[A-Z]015'") as caught:
        explain_code(written)
    assert caught.value.problems[0].code == "CS-U003"


def test_without_a_code_every_code_is_listed():
    lines = list_codes().splitlines()
    assert [line.split()[0] for line in lines] == list(error_codes())


def test_an_error_on_the_command_line_ends_with_its_code(capsys: pytest.CaptureFixture[str]):
    for arguments, code in (
        (["lst"], "CS-U001"),
        (["train", "pretraining/symil", "--store", "a", "--out", "b"], "CS-F001"),
        (["audit", "nowhere"], "CS-D015"),
    ):
        with pytest.raises(SystemExit):
            main(arguments)
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith(f" [{code}]")
