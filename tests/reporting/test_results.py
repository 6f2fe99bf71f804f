import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from clinical_symile.reporting.results import Comparisons, Results
from clinical_symile.tracking.results import Comparison, Result, SkippedResult

RESULT = Result(
    run="symile-0",
    cohort="synthetic",
    task="retrieval/cxr_given_ecg_labs",
    split="held_out",
    missingness="complete",
    metric="recall_at_1",
    value=0.5,
    low=0.4,
    high=0.6,
    interval="bca",
    chance=0.1,
    n_samples=100,
    n_subjects=90,
    hidden={"ecg": 0.0, "labs": 0.25},
    mask="m",
    seed=0,
    digest="d",
)
OTHER_METRIC = replace(RESULT, metric="recall_at_5", value=0.9)
OTHER_RUN = replace(RESULT, run="clip_0", value=0.25, low=0.2, high=0.3)
LESS = replace(RESULT, missingness="mcar-30", value=0.3, low=0.2, high=0.35)
SKIPPED = SkippedResult(
    run="symile-0",
    cohort="synthetic",
    task="classification/x",
    missingness="site",
    reason="no <site> is kept.",
    digest="d",
)
RESULTS = Results(
    (RESULT, OTHER_METRIC, OTHER_RUN, LESS), (SKIPPED,), {RESULT.task: "recall_at_1"}, ("a note",)
)
COMPARISON = Comparison(
    run="symile-0",
    baseline="clip_0",
    cohort="synthetic",
    task=RESULT.task,
    split="held_out",
    missingness="complete",
    metric="recall_at_1",
    difference=0.25,
    low=0.1,
    high=0.4,
    n_samples=100,
    n_subjects=90,
    digest="d",
    p_value=0.0004,
    p_holm=0.2,
)
SIGNIFICANT = replace(COMPARISON, missingness="mcar-30", p_holm=0.01)


def test_a_frame_has_a_row_per_result_and_a_column_per_hidden_modality():
    frame = RESULTS.to_frame()
    assert len(frame) == len(RESULTS) == 4
    assert frame.loc[0, "hidden_labs"] == 0.25
    assert "hidden" not in frame
    assert list(frame["value"]) == [0.5, 0.9, 0.25, 0.3]


def test_the_primary_results_are_those_of_each_tasks_primary_metric():
    assert RESULTS.primary.rows == (RESULT, OTHER_RUN, LESS)
    assert RESULTS.primary.skipped == RESULTS.skipped


def test_csv_holds_the_frame(tmp_path: Path):
    path = RESULTS.to_csv(tmp_path / "new" / "results.csv")
    expected = RESULTS.to_frame().fillna(float("nan"))  # an empty cell is read as NaN
    pd.testing.assert_frame_equal(pd.read_csv(path), expected, check_dtype=False)


def test_latex_has_a_column_per_run_and_escapes_names(tmp_path: Path):
    text = RESULTS.primary.to_latex(tmp_path / "table.tex")
    assert (tmp_path / "table.tex").read_text() == text
    assert r"symile-0 & clip\_0 & chance" in text
    assert r"recall\_at\_1 & 100 & 0.500 [0.400, 0.600] & 0.250 [0.200, 0.300] & 0.100 \\" in text
    assert r"100 & 0.300 [0.200, 0.350] & not scored & 0.100 \\" in text
    assert text.count(r"\\") == 3


def test_a_comparison_in_bold_is_significant_after_holm():
    text = Comparisons((COMPARISON, SIGNIFICANT)).to_latex()
    assert r"& +0.250 [+0.100, +0.400] & <0.001 & 0.200 \\" in text
    assert r"& \textbf{+0.250 [+0.100, +0.400]} & <0.001 & 0.010 \\" in text


def test_saved_results_are_read_again(tmp_path: Path):
    from clinical_symile import open_results

    assert open_results(RESULTS.save(tmp_path / "kept")) == RESULTS
    lines = (tmp_path / "kept" / "results.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["value"] == 0.5


def test_losses_are_a_frame_of_their_own(tmp_path: Path):
    loss = replace(COMPARISON, baseline="symile-0", against="complete")
    comparisons = Comparisons((COMPARISON,), (loss,))
    assert list(comparisons.to_frame(losses=True)["against"]) == ["complete"]
    comparisons.save(tmp_path)
    assert (tmp_path / "losses.jsonl").is_file()


def test_a_notebook_shows_primary_results_notes_and_what_was_not_scored():
    html = RESULTS._repr_html_()
    assert html.count("<tr") == 4
    assert "a note" in html
    assert "no &lt;site&gt; is kept." in html
    assert "0.500" in html
    assert "symile-0" in Comparisons((COMPARISON,))._repr_html_()


def test_empty_results_are_an_empty_frame():
    empty = Results(())
    assert list(empty.to_frame()["value"]) == []
    assert "<table" in empty._repr_html_()
    with pytest.raises(ValueError, match="no results to plot"):
        empty.plot("degradation")


def test_an_unknown_plot_is_named_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'degradation'"):
        RESULTS.plot("degredation")


def test_names_in_a_notebook_are_escaped():
    rows = (replace(RESULT, run="<script>"),)
    skipped = (replace(SKIPPED, reason="<i>why</i>"),)
    shown = Results(rows, skipped, {RESULT.task: RESULT.metric}, ("<note>",))._repr_html_()
    for word in ("<script>", "<i>", "<note>"):
        assert word not in shown
    assert "&lt;script&gt;" in shown
