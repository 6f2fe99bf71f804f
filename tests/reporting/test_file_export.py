"""Tables and figures of a folder, as files that stand alone."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.errors import DataError
from clinical_symile.reporting.file_export import check_exportable, export_figures, export_tables
from clinical_symile.reporting.results import Results
from clinical_symile.tracking.results import write_rows
from tests.reporting.test_results import LESS, OTHER_METRIC, OTHER_RUN, RESULT

RESULTS = Results(
    (RESULT, OTHER_METRIC, OTHER_RUN, LESS), primary_metrics={RESULT.task: "recall_at_1"}
)


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


def test_latex_holds_primary_results_alone(folder: Path, tmp_path: Path):
    into = tmp_path / "tables"
    into.mkdir()
    written = export_tables(folder, RESULTS, into=into, form="latex")
    assert [path.name for path in written] == ["results.tex", "losses.tex"]
    text = (into / "results.tex").read_text()
    assert "0.5" in text.replace("50", "0.5")
    assert "tabular" in text


def test_figures_of_a_run_are_one_of_each_task_and_kind(
    folder: Path, tmp_path: Path, catalog: Catalog
):
    into = tmp_path / "figures"
    into.mkdir()
    rows = tuple(replace(row, run="symile-0") for row in (RESULT, LESS))
    results = Results(rows, primary_metrics={RESULT.task: "recall_at_1"})
    (folder / "losses.jsonl").unlink()
    written = export_figures(folder, results, into=into, form="svg", catalog=catalog)
    name = RESULT.task.replace("/", "-")
    assert [path.name for path in written] == [f"degradation-{name}.svg", f"intervals-{name}.svg"]
    for path in written:
        assert path.read_text(encoding="utf-8").lstrip().startswith("<")


def test_a_folder_without_results_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="has no results to export"):
        check_exportable(tmp_path, Results(()))
    check_exportable(tmp_path, RESULTS)
