"""Write the figures of a report as files of their own, with fonts, colours and a legend."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clinical_symile.config.catalog import Catalog
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.registry.base import unknown_name_message
from clinical_symile.reporting.benchmark_report import load_benchmark
from clinical_symile.reporting.render import draw_sections
from clinical_symile.reporting.report_data import ReportData

# What `plot` and `export` call a kind of figure, and the sections that draw it.
FIGURE_KINDS = {
    "performance": ("retrieval", "retrieval_missing", "classification"),
    "degradation": ("degradation",),
    "trained_with": ("trained_with",),
    "retained_share": ("retained_share",),
    "missing_query": ("missing_query",),
    "noninferiority": ("noninferiority",),
    "modality_value": ("modality_value",),
    "calibration": ("calibration", "calibration_missing"),
    "high_confidence_errors": ("high_confidence_errors",),
    "conformal": ("conformal",),
    "decision_curve": ("decision_curve",),
    "subgroups": ("subgroups",),
    "differences": ("differences",),
    "mask_predictability": ("mask_predictability",),
    "ranks": ("method_ranking",),
    "training": ("training",),
    "cohort": ("cohort",),
}


def export_report_figures(
    out: Path,
    *,
    directory: Path,
    catalog: Catalog,
    file_format: str = "svg",
    kinds: Sequence[str] | None = None,
) -> list[Path]:
    """Write every figure of a finished benchmark as a file; a figure keeps its file name.

    Args:
        out: the benchmark's folder.
        directory: where the files are written.
        catalog: where the tasks are.
        file_format: `svg`, `png` or `pdf`.
        kinds: names of `FIGURE_KINDS`; None for all.

    Returns:
        The files, in the order of the report.

    Raises:
        DataError: the folder is not one of a finished benchmark.
        DefinitionError: a kind is unknown.
        ValueError: the format is unknown.
    """
    data = load_benchmark(out, catalog=catalog)
    written: list[Path] = []
    for kind in FIGURE_KINDS if kinds is None else kinds:
        for name, save in _figures(data, kind):
            path = directory / f"{name}.{file_format}"
            save(path)
            written.append(path)
    return written


def save_figures(data: ReportData, kind: str, path: Path) -> list[Path]:
    """Write the figures of one kind.

    Args:
        data: results and tasks; other fields as the kind needs them.
        kind: a name of `FIGURE_KINDS`.
        path: ends in `.svg`, `.png` or `.pdf`. Where there are several figures, each figure's name
            is appended to the stem.

    Returns:
        The files.

    Raises:
        DefinitionError: the kind is unknown.
        DataError: the data do not suffice for a figure of this kind.
        ValueError: the path has another ending.
    """
    figures = _figures(data, kind)
    if not figures:
        raise DataError(
            f"no figure '{kind}' can be drawn: these results lack what it shows. Evaluate the "
            "tasks and missingness patterns that it needs, or choose another kind.",
            code="CS-S005",
        )
    written = []
    for name, save in figures:
        suffix = f"-{name.removeprefix(f'{kind}-')}" if len(figures) > 1 else ""
        own = path.with_name(f"{path.stem}{suffix}{path.suffix}")
        save(own)
        written.append(own)
    return written


def _figures(data: ReportData, kind: str) -> list[tuple[str, Any]]:
    """Return the name of each figure of a kind, and a function that saves it."""
    if kind not in FIGURE_KINDS:
        raise DefinitionError(
            unknown_name_message(kind, FIGURE_KINDS, what="kind of figure"), code="CS-F017"
        )
    figures = []
    for section in draw_sections(FIGURE_KINDS[kind], data):
        legend = section.content.legend
        for panel in (*section.content.panels, *section.content.more):
            if panel.picture is not None:
                figures.append((panel.picture.name, _saver(panel, legend)))
    return figures


def _saver(panel: Any, legend: Any):
    def save(path: Path) -> None:
        panel.picture.save(path, heading=panel.title, legend=legend)

    return save
