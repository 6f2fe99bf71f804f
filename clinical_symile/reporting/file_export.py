"""Export tables and figures of a benchmark or a run as CSV, LaTeX, PNG, SVG or PDF."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from clinical_symile.errors import DataError
from clinical_symile.registry.names import path_in
from clinical_symile.reporting.benchmark_report import BENCHMARK_FILE, read_record
from clinical_symile.reporting.csv_file import write_csv
from clinical_symile.reporting.figure_files import export_figures
from clinical_symile.reporting.figures.picture import FILE_FORMATS
from clinical_symile.reporting.latex_table import frame_latex
from clinical_symile.reporting.results import Comparisons, Results, rows_frame
from clinical_symile.reporting.run_data import costs_frame
from clinical_symile.tracking.analysis_tables import ANALYSIS_TABLES
from clinical_symile.tracking.benchmark_tables import (
    MaskAuroc,
    MethodRank,
    NetBenefitDifference,
    Robustness,
    SeedComponents,
    TriedSetting,
)
from clinical_symile.tracking.disclosure import shareable, withheld_patterns
from clinical_symile.tracking.results import Comparison, SkippedResult, read_rows
from clinical_symile.tracking.rounding import rounded_rows
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.snapshot import read_dataset, tuning_step

TABLE_FORMATS = ("csv", "latex")
EXPORT_FORMATS = (*TABLE_FORMATS, *FILE_FORMATS)

# The tables that a folder may hold beside its results.
_TABLES: Mapping[str, type[Any]] = {
    "comparisons": Comparison,
    "losses": Comparison,
    "seeds": SeedComponents,
    "ranks": MethodRank,
    "robustness": Robustness,
    "masks": MaskAuroc,
    "settings": TriedSetting,
    "net_benefit_differences": NetBenefitDifference,
    "unscored": SkippedResult,
    **ANALYSIS_TABLES,
}


def export_tables(folder: Path, results: Results, *, into: Path, form: str) -> list[Path]:
    """Write every tidy table of a folder.

    Args:
        folder: of a benchmark or a run; `<table>.jsonl` of each table.
        results: of that folder.
        into: the folder to write into.
        form: `csv` (every column and row, and what trained runs cost) or `latex` (results and
            comparisons as the reports show them, primary metrics only; other tables as they are).

    Returns:
        The files that were written.
    """
    tables = _read_tables(folder, results)
    rounded = not results.synthetic
    if form == "csv":
        written = [results.to_csv(into / "results.csv"), *_costs_file(folder, into)]
        for name, rows in tables.items():
            path = into / f"{name}.csv"
            write_csv(rows_frame(rows).assign(rounded=rounded), path)
            written.append(path)
        return written
    results.primary.to_latex(into / "results.tex")
    written = [into / "results.tex"]
    for name, rows in tables.items():
        path = into / f"{name}.tex"
        if name in ("comparisons", "losses"):
            Comparisons(tuple(rows), synthetic=results.synthetic).to_latex(path)
        else:
            frame_latex(rows_frame(rows), path, rounded=rounded)
        written.append(path)
    return written


def _costs_file(folder: Path, into: Path) -> list[Path]:
    """Write what each trained run cost as CSV, if there is such a run; return the file."""
    costs = costs_frame([run.metadata for run in _runs(folder) if run.is_trained])
    if costs.empty:
        return []
    return [write_csv(costs, into / "costs.csv")]


def _runs(folder: Path) -> list[Run]:
    """Return the runs of a benchmark's folder, or the run of a run's."""
    is_benchmark = (folder / BENCHMARK_FILE).is_file()
    names = read_record(folder)["runs"] if is_benchmark else []
    return [Run(path_in(folder / "runs", name)) for name in names] if names else [Run(folder)]


def export_folder_figures(folder: Path, results: Results, *, into: Path, form: str) -> list[Path]:
    """Write every figure that a report can draw of a folder, each as a file that stands alone.

    Args:
        folder: of a benchmark or a run.
        results: of that folder.
        into: the folder to write into.
        form: `png`, `svg` or `pdf`.

    Returns:
        The files.
    """
    data = results.figure_data()
    if not data.comparisons:  # a run's own comparisons
        tables = _read_tables(folder, results)
        data = replace(
            data, comparisons=tables.get("comparisons", ()), losses=tables.get("losses", ())
        )
    return export_figures(data, into=into, file_format=form)


def _read_tables(folder: Path, results: Results) -> dict[str, Sequence[Any]]:
    """Read the tables that are there and have rows, as they may leave the folder."""
    hidden = withheld_patterns(results.rows)
    found = {
        name: shareable(read_rows(folder / f"{name}.jsonl", kind), hidden)
        for name, kind in _TABLES.items()
        if (folder / f"{name}.jsonl").is_file()
    }
    step = max((tuning_step(read_dataset(run.path)) for run in _runs(folder)), default=None)
    return {
        name: rows
        if results.synthetic
        else rounded_rows(rows, step=step if name == "settings" else None)
        for name, rows in found.items()
        if rows
    }


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
