from pathlib import Path

import pytest

from clinical_symile.cli.main import main
from clinical_symile.tracking.results import write_rows
from tests.evaluation.test_sample_size import compared


def test_the_numbers_are_printed_with_what_they_suppose(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    write_rows(tmp_path / "comparisons.jsonl", [compared()])
    words = ["sample-size", str(tmp_path), "--difference", "0.02", "--margin", "0.04"]
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert "power of 0.8" in shown
    assert "retrieval/x: recall_at_1" in shown
    (line,) = [line for line in shown.splitlines() if "symile-0 - clip-0" in line]
    # Rounded up to two digits: 3140, 785 and 1051.
    # 400 ((1.96 + 0.842) 0.02 / 0.02)², the same by 0.04, and with 1.282 for equivalence.
    assert line.replace("\N{NARROW NO-BREAK SPACE}", "").split()[-4:] == [
        "0.02",
        "3200",
        "790",
        "1100",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "neither --difference nor --margin is given"),
        (["--margin", "0"], "expected a number above 0"),
        (["--difference", "0.1", "--power", "1"], "expected a number from 0.5 to below 1"),
        (["--difference", "0.1", "--power", "high"], "expected a number from 0.5 to below 1"),
        (["--difference", "0.1", "--runs", "clap-0"], "did you mean 'clip-0'"),
    ],
)
def test_a_question_without_sense_is_refused(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    write_rows(tmp_path / "comparisons.jsonl", [compared()])
    with pytest.raises(SystemExit) as stopped:
        main(["sample-size", str(tmp_path), *words])
    assert stopped.value.code == 1
    assert said in capsys.readouterr().err
