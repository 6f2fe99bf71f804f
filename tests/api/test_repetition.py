"""`rerun`: one line of results, computed again alone, is the same to the digit."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from clinical_symile.api.repetition import Repetition, rerun
from clinical_symile.errors import DataError
from clinical_symile.files import lock_folder, write_text
from clinical_symile.tracking.results import Result, read_rows
from clinical_symile.tracking.run import Run
from tests.reporting.test_results import RESULT

RESULTS = Path("runs/symile-0/results.jsonl")


def test_every_line_of_a_run_is_the_same_when_it_is_computed_alone(workplace: Path) -> None:
    rows = read_rows(workplace / RESULTS, Result)
    patterns = [row.missingness for row in rows]
    assert {"complete", "without-ecg"} <= {*patterns}  # other tests evaluate more
    for line in (1, patterns.index("without-ecg") + 1, len(rows)):
        found = rerun(RESULTS, line)
        assert found.is_same, str(found)
        assert found.before == rows[line - 1]
        assert str(found).endswith("The same to the digit.")


def test_results_say_what_they_were_computed_with(workplace: Path) -> None:
    row = read_rows(workplace / RESULTS, Result)[0]
    assert row.environment["device"] == "cpu"
    assert row.environment["threads"] == "1"
    assert {"python", "torch", "numpy", "clinical-symile"} <= row.environment.keys()


def test_a_value_that_differs_is_shown_with_what_else_differs(workplace: Path) -> None:
    row = read_rows(workplace / RESULTS, Result)[0]
    old = replace(row, value=0.97, environment={"device": "cuda"})
    found = Repetition(old, row, {"value": (0.97, row.value)}, synthetic=True)
    assert f"value: 0.97 before, {row.value!r} now" in str(found)
    assert "device cuda before, cpu now" in str(found)


def test_words_on_real_subjects_have_no_digit_that_tells_their_number() -> None:
    row = replace(RESULT, value=0.61702, n_samples=60)
    same = Repetition(row, row, {})
    assert str(same).splitlines()[0].endswith("recall_at_1 = 0.62")
    other = replace(row, value=0.61703, n_samples=66, mask="other")
    changes = {"value": (0.61702, 0.61703), "n_samples": (60, 66), "mask": ("m", "other")}
    text = str(Repetition(row, other, changes))
    assert "n_samples: differs\n" in text
    assert "value: differs by 1e-05" in text
    assert "mask: differs" in text
    assert "0.617" not in text


@pytest.mark.parametrize("line", [0, -1, 999])
def test_a_line_that_is_not_there_is_refused(workplace: Path, line: int) -> None:
    with pytest.raises(DataError, match="expected one of these, not line"):
        rerun(workplace / RESULTS, line)


def test_a_result_of_another_version_is_refused(workplace: Path, tmp_path: Path) -> None:
    row = read_rows(workplace / RESULTS, Result)[0]
    with lock_folder(tmp_path / "run"):
        write_text(tmp_path / "run" / "results.jsonl", json.dumps(asdict(replace(row, digest="x"))))
    with pytest.raises(DataError, match="is of another definition, store"):
        rerun(tmp_path / "run", 1, store=workplace / "store")
    with pytest.raises(DataError, match="does not say which store"):
        rerun(tmp_path / "run", 1)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("baseline", "the baseline 'symile-0'"),
        ("predictions", "the external model 'symile-0'"),
        ("embeddings", "the external model 'symile-0'"),
        ("scores", "the external model 'symile-0'"),
        ("model", "the model of your own 'symile-0'"),
    ],
)
def test_a_result_of_a_model_that_is_not_kept_is_refused_with_the_reason(
    workplace: Path, tmp_path: Path, kind: str, words: str
) -> None:
    run = Run(tmp_path / "run")
    run.write_metadata({kind: "age.csv", "cohort": "synthetic", "seed": 0})
    with lock_folder(run.path):
        content = (workplace / RESULTS).read_text().splitlines()[0]
        write_text(run.path / "results.jsonl", content + "\n")
    with pytest.raises(DataError, match=f"is of {words}; expected one of a trained run"):
        rerun(run.path, 1, store=workplace / "store")
