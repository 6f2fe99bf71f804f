"""Tables and figures of a folder, as files that stand alone."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from clinical_symile.errors import DataError
from clinical_symile.reporting.file_export import (
    check_exportable,
    export_folder_figures,
    export_tables,
)
from clinical_symile.reporting.results import Results
from clinical_symile.tracking.results import write_rows
from clinical_symile.tracking.run import Run
from tests.reporting.test_results import COMPARISON, LESS, OTHER_METRIC, OTHER_RUN, RESULT, TASKS

RESULTS = Results((RESULT, OTHER_METRIC, OTHER_RUN, LESS), tasks=TASKS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with losses, and an empty table of comparisons."""
    from tests.helpers.report_data import made_results

    _, comparisons = made_results()
    made = tmp_path / "out"
    made.mkdir()
    write_rows(made / "losses.jsonl", comparisons)
    write_rows(made / "comparisons.jsonl", [])
    return made


def test_csv_holds_every_result_and_every_row_of_each_table(folder: Path, tmp_path: Path):
    into = tmp_path / "tables"
    into.mkdir()
    written = export_tables(folder, RESULTS, into=into, form="csv")
    assert [path.name for path in written] == ["results.csv", "losses.csv"]
    assert len(pd.read_csv(into / "results.csv")) == len(RESULTS.rows)
    lines = (folder / "losses.jsonl").read_text().splitlines()
    assert len(pd.read_csv(into / "losses.csv")) == len(lines)


def test_csv_holds_what_each_trained_run_cost(folder: Path, tmp_path: Path):
    record = {"name": "symile-0", "task": "pretraining/symile", "costs": {"parameters_used": 7}}
    Run(folder).write_metadata(record)
    written = export_tables(folder, RESULTS, into=tmp_path, form="csv")
    assert [path.name for path in written] == ["results.csv", "costs.csv", "losses.csv"]
    assert pd.read_csv(tmp_path / "costs.csv")["parameters_used"].tolist() == [7]


def test_latex_holds_primary_results_alone(folder: Path, tmp_path: Path):
    into = tmp_path / "tables"
    into.mkdir()
    written = export_tables(folder, RESULTS, into=into, form="latex")
    assert [path.name for path in written] == ["results.tex", "losses.tex"]
    text = (into / "results.tex").read_text()
    assert "0.5" in text.replace("50", "0.5")
    assert "tabular" in text


def test_figures_of_a_run_are_those_that_a_report_draws(folder: Path, tmp_path: Path):
    into = tmp_path / "figures"
    comparison = replace(COMPARISON, missingness="mcar-30")
    write_rows(folder / "comparisons.jsonl", [comparison])
    results = replace(RESULTS, rows=(RESULT, LESS, OTHER_RUN))
    written = export_folder_figures(folder, results, into=into, form="svg")
    name = RESULT.task.replace("/", "-")
    assert {f"{name}-complete.svg", f"degradation-{name}-mcar.svg"} < {
        path.name for path in written
    }
    assert any(path.name.startswith(f"differences-{name}") for path in written)
    for path in written:
        assert path.read_text(encoding="utf-8").startswith("<?xml")


def test_a_folder_without_results_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="has no results to export"):
        check_exportable(tmp_path, Results(()))
    check_exportable(tmp_path, RESULTS)
