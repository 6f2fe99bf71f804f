"""`validate`: files of results and whole folders, with every problem at once."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from clinical_symile.api.validation import validate
from clinical_symile.cli.main import main
from clinical_symile.errors import DataError
from clinical_symile.tracking.archive import archive_bytes
from tests.reporting.test_results import COMPARISON, RESULT


def lines(*rows: dict) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_a_run_and_a_store_that_were_written_are_valid(workplace: Path):
    for folder in ("runs/symile-0", "store", "."):
        found = validate(workplace / folder)
        assert found.is_valid, str(found)
        assert str(found).endswith("the expected form.")
    assert validate(workplace).checked > validate(workplace / "runs/symile-0").checked


def test_every_problem_of_every_file_is_named(workplace: Path, tmp_path: Path):
    run = tmp_path / "runs" / "symile-0"
    shutil.copytree(workplace / "runs/symile-0", run)
    good = asdict(RESULT)
    (run / "results.jsonl").write_text(
        lines(good, good | {"value": "high"}, good | {"mask": 3}, *[good | {"seed": None}] * 5)
    )
    (run / "run.toml").write_text('seed = "three"\n')
    (run / "history.jsonl").write_bytes(b"\xff")
    (run / "measures.jsonl").write_text("{\n")
    found = str(validate(tmp_path))
    for words in (
        f"{run / 'results.jsonl'}, line 2: value: is text; expected a number.",
        f"{run / 'results.jsonl'}, line 3: mask: is a whole number; expected text.",
        f"{run / 'results.jsonl'}, lines 4, 5, 6 and 2 more: seed: is null; expected a whole",
        f"{run / 'run.toml'}: seed: is text; expected a whole number or null.",
        f"{run / 'history.jsonl'}: is no text in UTF-8; expected the form of history.",
        f"{run / 'measures.jsonl'}, line 1: is no JSON; expected an object of measures.",
    ):
        assert words in found


def test_a_file_of_another_name_has_the_form_of_its_fields(tmp_path: Path):
    ours, theirs = tmp_path / "ours.jsonl", tmp_path / "theirs.jsonl"
    ours.write_text("{broken\n" + lines(asdict(RESULT)))
    theirs.write_text(lines(asdict(COMPARISON) | {"p_holm": "small"}))
    assert "expected an object of results" in str(validate(ours))
    assert "p_holm: is text; expected a number or null" in str(validate(theirs))


def test_results_without_a_line_are_a_problem_unless_reasons_are_beside_them(tmp_path: Path):
    results = tmp_path / "results.jsonl"
    results.write_bytes(b"")
    (tmp_path / "comparisons.jsonl").write_bytes(b"")  # of a single run
    for path in (results, tmp_path):
        found = validate(path)
        assert str(found) == f"{results}: has no line; expected one result at least."
    packed = tmp_path / "packed.zip"
    packed.write_bytes(archive_bytes({"results.jsonl": b""}))
    assert str(validate(packed)) == "results.jsonl: has no line; expected one result at least."
    about = ("run", "cohort", "task", "missingness", "reason", "digest")
    reasons = lines(dict.fromkeys(about, "x")).encode()
    (tmp_path / "unscored.jsonl").write_bytes(reasons)
    packed.write_bytes(archive_bytes({"results.jsonl": b"", "unscored.jsonl": reasons}))
    assert validate(tmp_path).is_valid
    assert validate(packed).is_valid


@pytest.mark.parametrize("content", ["", "not results\n", '{"name": "notes"}\n', "[1, 2]\n"])
def test_what_has_no_known_form_is_refused(content: str, tmp_path: Path):
    (tmp_path / "notes.txt").write_text(content)
    for path in (tmp_path / "notes.txt", tmp_path, tmp_path / "gone"):
        with pytest.raises(DataError, match=r"Correct the path|schema results") as refused:
            validate(path)
        assert "CS-R022" in str(refused.value)


def test_the_command_line_prints_problems_with_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "results.jsonl"
    for row, status in ((asdict(RESULT), 0), (asdict(RESULT) | {"value": None}, 1)):
        path.write_text(lines(row))
        with pytest.raises(SystemExit) as stop:
            main(["validate", str(path)])
        assert stop.value.code == status
    assert "line 1: value: is null; expected a number." in capsys.readouterr().out


@pytest.mark.parametrize("names", [[], ["hello.txt"]])
def test_an_archive_without_a_known_file_is_refused(names: list[str], tmp_path: Path):
    path = tmp_path / "a.zip"
    path.write_bytes(archive_bytes(dict.fromkeys(names, b"")))
    with pytest.raises(DataError, match="has no file with a known form; expected a bundle"):
        validate(path)
