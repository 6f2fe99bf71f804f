"""Tables as CSV: texts that begin like a formula are neutralised, numbers are not."""

from pathlib import Path

import pandas as pd
import pytest

from clinical_symile.reporting.csv_file import csv_text, write_csv


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_a_text_that_begins_like_a_formula_gets_an_apostrophe(tmp_path: Path, text: str):
    path = write_csv(pd.DataFrame({"name": [text, f"a{text}"], text: [1, 2]}), tmp_path / "t.csv")
    read = pd.read_csv(path, dtype=str)
    kept = text.replace("\r", " ")
    assert read["name"].tolist() == [f"'{kept}", f"a{kept}"]
    assert [*read.columns] == ["name", f"'{kept}"]


def test_numbers_stay_numbers_and_what_is_unknown_stays_empty():
    frame = pd.DataFrame({"x": [-0.5, None, 2.0], "n": [-1, 0, 1], "mixed": ["a", -3, None]})
    assert csv_text(frame) == "x,n,mixed\n-0.5,-1,a\n,0,-3\n2.0,1,\n"
