import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import pandas as pd
import pytest

from clinical_symile.errors import (
    DataError,
    DefinitionError,
    RenamedWordWarning,
    UncheckedFilesWarning,
)
from clinical_symile.files import write_checksums
from clinical_symile.reporting import results
from clinical_symile.reporting.figure_files import draw_figures
from clinical_symile.reporting.results import Comparisons, Results
from clinical_symile.tracking.results import Comparison, Result, SkippedResult
from tests.helpers.report_data import made_data

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
    code="CS-S013",
)
TASK = {
    "kind": "retrieval",
    "description": "Find the X-ray.",
    "query": ["ecg", "labs"],
    "target": "cxr",
    "primary": "recall_at_1",
    "higher_is_better": True,
}
TASKS = {RESULT.task: TASK}
RESULTS = Results(
    (RESULT, OTHER_METRIC, OTHER_RUN, LESS), (SKIPPED,), TASKS, ("a note",), synthetic=True
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

    read = open_results(RESULTS.save(tmp_path / "kept"))
    assert read.tasks[RESULT.task].items() >= {**TASK, "description": ANY}.items()
    assert replace(read, tasks=TASKS) == RESULTS
    lines = (tmp_path / "kept" / "results.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["value"] == 0.5


def test_saved_results_that_were_edited_are_refused(tmp_path: Path):
    from clinical_symile import open_results

    file = RESULTS.save(tmp_path / "kept") / "results.jsonl"
    file.write_text(file.read_text().replace('"value": 0.5', '"value": 0.9'))
    with pytest.raises(DataError, match=r"results\.jsonl: was changed since it was written"):
        open_results(file.parent)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xe4", b'{"notes": '])
def test_notes_beside_saved_results_that_cannot_be_read_are_a_sentence(
    tmp_path: Path, content: bytes
):
    from clinical_symile import open_results

    folder = RESULTS.save(tmp_path / "kept")
    (folder / "about.json").write_bytes(content)
    write_checksums(folder)
    with pytest.raises(DataError, match=r"about\.json: .* Restore it from a backup"):
        open_results(folder)


def test_saving_waits_for_another_process_that_writes_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    locked: list[Path] = []

    @contextmanager
    def lock(folder: Path) -> Iterator[bool]:
        locked.append(folder)
        yield False

    monkeypatch.setattr(results, "lock_folder", lock)
    RESULTS.save(tmp_path / "kept")
    Comparisons((COMPARISON,)).save(tmp_path / "compared")
    assert locked == [tmp_path / "kept", tmp_path / "compared"]


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
    assert "no &lt;site&gt; is kept. [CS-S013]" in html
    assert "0.500" in html
    assert "symile-0" in Comparisons((COMPARISON,))._repr_html_()


def test_empty_results_are_an_empty_frame():
    empty = Results(())
    assert list(empty.to_frame()["value"]) == []
    assert "<table" in empty._repr_html_()
    with pytest.raises(DataError, match="'degradation' can be drawn: these results lack"):
        empty.plot("degradation")


def test_an_unknown_plot_is_named_with_the_nearest():
    with pytest.raises(DefinitionError, match="did you mean 'degradation'"):
        RESULTS.plot("degredation")


def test_a_plot_is_the_figure_of_the_report_with_the_same_numbers(tmp_path: Path):
    data = made_data()
    drawn = draw_figures(data, "degradation")
    own = Results(tuple(data.results), tasks=data.tasks, report_data=lambda: data)
    plot = own.plot("degradation", tmp_path / "figure.svg")
    assert [one.picture.name for one in plot] == [one.picture.name for one in drawn]
    assert [one.content("svg") for one in plot] == [one.content("svg") for one in drawn]
    assert (tmp_path / "figure.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize("kind", ["performance", "degradation", "retained_share", "trained_with"])
def test_results_alone_suffice_for_the_figures_of_results(kind: str):
    assert [one.picture.name for one in RESULTS.plot(kind)]


def test_comparisons_alone_suffice_for_the_figures_of_differences():
    loss = replace(
        COMPARISON, baseline=COMPARISON.run, against="complete", missingness="without-ecg"
    )
    comparisons = Comparisons((COMPARISON, SIGNIFICANT), (loss,), tasks=TASKS)
    (difference,) = comparisons.plot()
    assert difference.heading == "Find the chest X-ray from ECG and labs: symile-0 or clip_0?"
    (cost,) = comparisons.plot("noninferiority")
    assert cost.heading == "Find the chest X-ray from ECG and labs: loss without a modality"


def test_results_on_too_few_subjects_are_not_drawn():
    few = replace(RESULT, n_subjects=9)
    with pytest.raises(DataError, match="'performance' can be drawn"):
        Results((few,), tasks=TASKS).plot("performance")


def test_a_figure_of_a_task_without_a_definition_is_refused_with_what_to_do():
    with pytest.raises(DataError, match=r"retrieval/cxr_given_ecg_labs: .* with `catalog`"):
        Results((RESULT,)).plot("performance")
    with pytest.raises(DataError, match=r"retrieval/cxr_given_ecg_labs: .* with `catalog`"):
        Comparisons((COMPARISON,)).plot()


def test_a_kind_of_figure_is_read_by_its_old_name_with_a_warning():
    with pytest.warns(RenamedWordWarning, match="'intervals' is called 'performance' since 0.2.1"):
        plot = RESULTS.plot("intervals")
    assert plot.kind == "performance"


def test_results_that_0_2_0_saved_are_read_with_the_tasks_of_the_catalog(tmp_path: Path):
    from clinical_symile import open_results

    folder = RESULTS.save(tmp_path)
    about = {"primary_metrics": {RESULT.task: "recall_at_1"}, "notes": ["a note"]}
    (folder / "about.json").write_text(json.dumps(about))
    (folder / "checksums.jsonl").unlink()  # 0.2.0 wrote none
    with pytest.warns(UncheckedFilesWarning, match=r"has no checksums\.jsonl"):
        open_results(folder)
    write_checksums(folder)
    assert open_results(folder).primary == replace(
        RESULTS.primary, tasks=open_results(folder).tasks, synthetic=False
    )


def test_a_notebook_shows_a_reason_once_with_all_its_patterns():
    skipped = tuple(replace(SKIPPED, missingness=name) for name in ("site", "mcar-30", "site"))
    shown = Results((RESULT,), (*skipped, replace(SKIPPED, task="classification/y")), TASKS)
    text = shown._repr_html_()
    assert text.count("not scored: ") == 2
    assert "not scored: classification/x, site, mcar-30: no &lt;site&gt; is kept." in text


def test_names_in_a_notebook_are_escaped():
    rows = (replace(RESULT, run="<script>"),)
    skipped = (replace(SKIPPED, reason="<i>why</i>"),)
    shown = Results(rows, skipped, TASKS, ("<note>",))._repr_html_()
    for word in ("<script>", "<i>", "<note>"):
        assert word not in shown
    assert "&lt;script&gt;" in shown
