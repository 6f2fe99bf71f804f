"""Export tables and figures of a benchmark or a run as CSV, LaTeX, PNG, SVG or PDF."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clinical_symile.config.catalog import Catalog
from clinical_symile.errors import DataError
from clinical_symile.files import write_text
from clinical_symile.reporting.benchmark_report import BENCHMARK_FILE
from clinical_symile.reporting.figure_files import export_report_figures
from clinical_symile.reporting.figures.plots import (
    PLOT_FORMATS,
    degradation_plot,
    difference_plot,
    interval_plot,
)
from clinical_symile.reporting.results import (
    Comparisons,
    Results,
    frame_latex,
    rows_frame,
)
from clinical_symile.tracking.analysis_tables import ANALYSIS_TABLES
from clinical_symile.tracking.benchmark_tables import MaskAuroc, MethodRank, SeedComponents
from clinical_symile.tracking.results import Comparison, SkippedResult, read_rows

TABLE_FORMATS = ("csv", "latex")
EXPORT_FORMATS = (*TABLE_FORMATS, *PLOT_FORMATS)

# The tables that a folder may hold beside its results.
_TABLES: Mapping[str, type[Any]] = {
    "comparisons": Comparison,
    "losses": Comparison,
    "seeds": SeedComponents,
    "ranks": MethodRank,
    "masks": MaskAuroc,
    "unscored": SkippedResult,
    **ANALYSIS_TABLES,
}


def export_tables(folder: Path, results: Results, *, into: Path, form: str) -> list[Path]:
    """Write every tidy table of a folder.

    Args:
        folder: of a benchmark or a run; `<table>.jsonl` of each table.
        results: of that folder.
        into: the folder to write into.
        form: `csv` (every column and row) or `latex` (results and comparisons as the reports show
            them, primary metrics only; other tables as they are).

    Returns:
        The files that were written.
    """
    tables = _read_tables(folder)
    if form == "csv":
        written = [results.to_csv(into / "results.csv")]
        for name, rows in tables.items():
            path = into / f"{name}.csv"
            write_text(path, rows_frame(rows).to_csv(index=False, lineterminator="\n"))
            written.append(path)
        return written
    results.primary.to_latex(into / "results.tex")
    written = [into / "results.tex"]
    for name, rows in tables.items():
        path = into / f"{name}.tex"
        if name in ("comparisons", "losses"):
            Comparisons(tuple(rows)).to_latex(path)
        else:
            frame_latex(rows_frame(rows), path)
        written.append(path)
    return written


def export_figures(
    folder: Path, results: Results, *, into: Path, form: str, catalog: Catalog
) -> list[Path]:
    """Write every figure of a folder as a file that stands alone.

    Args:
        folder: of a benchmark or a run.
        results: of that folder.
        into: the folder to write into.
        form: `png`, `svg` or `pdf`.
        catalog: where the tasks of a benchmark are.

    Returns:
        The files: of a benchmark every figure that its reports can show; of a run its results and
        differences.
    """
    if (folder / BENCHMARK_FILE).is_file():
        return export_report_figures(folder, directory=into, catalog=catalog, file_format=form)
    written, primary = [], results.primary.rows
    for task in dict.fromkeys(row.task for row in primary):
        rows = [row for row in primary if row.task == task]
        name = task.replace("/", "-")
        written.append(degradation_plot(rows).save(into / f"degradation-{name}.{form}"))
        written.append(interval_plot(rows).save(into / f"intervals-{name}.{form}"))
    tables = _read_tables(folder)
    for name in ("comparisons", "losses"):
        for task in dict.fromkeys(row.task for row in tables.get(name, ())):
            rows = [row for row in tables[name] if row.task == task]
            path = into / f"{name}-{task.replace('/', '-')}.{form}"
            written.append(difference_plot(rows).save(path))
    return written


def _read_tables(folder: Path) -> dict[str, Sequence[Any]]:
    """Read the tables that are there and have rows."""
    found = {
        name: read_rows(folder / f"{name}.jsonl", kind)
        for name, kind in _TABLES.items()
        if (folder / f"{name}.jsonl").is_file()
    }
    return {name: rows for name, rows in found.items() if rows}


def check_exportable(folder: Path, results: Results) -> None:
    """Refuse a folder without results.

    Raises:
        DataError: the folder holds no results.
    """
    if not results.rows:
        raise DataError(
            f"{folder}: has no results to export; expected a benchmark's or an evaluated run's "
            "folder. Run `clinical-symile evaluate` or `benchmark` first.",
            code="CS-R011",
        )
