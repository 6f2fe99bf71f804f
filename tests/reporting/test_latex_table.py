from pathlib import Path

import pandas as pd

from clinical_symile.reporting.latex_table import frame_latex, write_latex


def test_a_comment_says_that_numbers_are_rounded(tmp_path: Path):
    table = {"aligned": "lr", "path": tmp_path / "a.tex"}
    text = write_latex(["task", "n"], [["a_b", "410"]], **table, rounded=True)
    assert text.startswith("% Numbers of samples and subjects are rounded down to multiples of 10")
    assert r"a\_b & 410 \\" in text
    assert (tmp_path / "a.tex").read_text() == text
    assert not write_latex(["task"], [["x"]], **table, rounded=False).startswith("%")


def test_numbers_of_a_frame_get_three_digits_and_what_is_missing_is_empty(tmp_path: Path):
    frame = pd.DataFrame({"run": ["a", "b"], "value": [0.5, None]})
    frame_latex(frame, tmp_path / "t.tex", rounded=False)
    text = (tmp_path / "t.tex").read_text()
    assert r"a & 0.500 \\" in text
    assert r"b &  \\" in text
