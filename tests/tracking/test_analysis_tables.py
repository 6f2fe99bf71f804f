"""Tables of an analysis are read as they were written, and old words with a warning."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from clinical_symile.errors import DataError
from clinical_symile.tracking.analysis_tables import (
    ANALYSIS_TABLES,
    Measure,
    RunAnalysis,
    merge_analyses,
    read_analysis,
    select_tasks,
    write_analysis,
)

MEASURE = Measure(
    run="symile-0",
    cohort="synthetic",
    task="classification/deterioration",
    missingness="complete",
    part=None,
    measure="calibration/slope",
    value=0.9,
    low=None,
    high=1.2,
    n_samples=50,
    digest="0123",
)


def test_every_table_of_an_analysis_has_its_kind_of_row():
    assert set(ANALYSIS_TABLES) == {field.name for field in fields(RunAnalysis)}


def test_tables_are_read_as_they_were_written(tmp_path: Path):
    made = RunAnalysis(measures=[MEASURE, replace(MEASURE, low=0.5, part="edema")])
    write_analysis(tmp_path, made)
    assert read_analysis(tmp_path) == made
    assert {path.stem for path in tmp_path.iterdir()} == set(ANALYSIS_TABLES)


def test_a_missing_file_is_an_empty_table(tmp_path: Path):
    assert read_analysis(tmp_path) == RunAnalysis()


def test_a_line_of_another_form_is_refused(tmp_path: Path):
    (tmp_path / "measures.jsonl").write_text('{"run": "symile-0"}\n')
    with pytest.raises(DataError, match=r"measures\.jsonl"):
        read_analysis(tmp_path)


def test_measures_of_version_0_1_are_read_by_their_new_names_with_a_warning(tmp_path: Path):
    old = [replace(MEASURE, measure=f"silent/{name}") for name in ("silence", "accuracy")]
    write_analysis(tmp_path, RunAnalysis(measures=old))
    with pytest.warns(match="high_confidence_errors/"):
        made = read_analysis(tmp_path)
    assert [row.measure for row in made.measures] == [
        "high_confidence_errors/gap",
        "high_confidence_errors/accuracy",
    ]


def test_analyses_are_joined_and_restricted_to_tasks():
    other = replace(MEASURE, task="classification/icu")
    joined = merge_analyses([RunAnalysis(measures=[MEASURE]), RunAnalysis(measures=[other])])
    assert joined.measures == [MEASURE, other]
    assert select_tasks(joined, {"classification/icu"}.__contains__).measures == [other]
