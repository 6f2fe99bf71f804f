"""Draw the figures of a report as files of their own, with fonts, colours and a legend."""

import base64
import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.files import write_bytes
from clinical_symile.registry.base import unknown_name_message
from clinical_symile.registry.names import path_in
from clinical_symile.reporting.figures.picture import FILE_FORMATS
from clinical_symile.reporting.figures.sheet import SheetFigure, sheet
from clinical_symile.reporting.render import draw_sections
from clinical_symile.reporting.report_data import ReportData

# What `plot` and `export` call a kind of figure, and the sections that draw it.
FIGURE_KINDS = {
    "performance": ("retrieval", "retrieval_missing", "classification"),
    "degradation": ("degradation",),
    "trained_with": ("trained_with",),
    "retained_share": ("retained_share",),
    "robustness": ("robustness",),
    "pairing": ("pairing",),
    "missing_query": ("missing_query",),
    "noninferiority": ("noninferiority",),
    "modality_value": ("modality_value",),
    "calibration": ("calibration", "calibration_missing"),
    "high_confidence_errors": ("high_confidence_errors",),
    "conformal": ("conformal",),
    "selective": ("selective",),
    "decision_curve": ("decision_curve",),
    "subgroups": ("subgroups",),
    "differences": ("differences",),
    "mask_predictability": ("mask_predictability",),
    "ranks": ("method_ranking",),
    "training": ("training",),
    "cohort": ("cohort",),
}

_NOTEBOOK_DPI = 110  # a notebook keeps its pictures, so they are small


@dataclass(frozen=True, eq=False)
class Plot:
    """The figures of one kind, which a notebook shows and which can be written to a file.

    Attributes:
        kind: a name of `FIGURE_KINDS`.
        figures: one for each task, and where it applies for each mechanism or pair of methods.
    """

    kind: str
    figures: Sequence[SheetFigure] = field(repr=False)

    def __len__(self) -> int:
        return len(self.figures)

    def __iter__(self) -> Iterator[SheetFigure]:
        return iter(self.figures)

    def save(self, path: str | Path) -> Path:
        """Write all figures into one file; its suffix is the format.

        Several figures are drawn in two columns in SVG and PNG, and on a page each in PDF. The
        verb `export` writes each figure into a file of its own.

        Args:
            path: a file that ends in `.png`, `.svg` or `.pdf`.

        Returns:
            The path of the file.

        Raises:
            ValueError: the suffix is another.
        """
        path = Path(path)
        write_bytes(path, sheet(self.figures, _file_format(path)))
        return path

    def _repr_html_(self) -> str:
        images = []
        for one in self.figures:
            data = base64.b64encode(one.content("png", dpi=_NOTEBOOK_DPI)).decode()
            about = html.escape(one.picture.title)
            images.append(f'<img alt="{about}" width="480" src="data:image/png;base64,{data}">')
        return "\n".join(images)


def draw_figures(data: ReportData, kind: str) -> Plot:
    """Draw the figures of one kind.

    Args:
        data: results and tasks; other fields as the kind needs them.
        kind: a name of `FIGURE_KINDS`.

    Raises:
        DefinitionError: the kind is unknown.
        DataError: the data do not suffice for a figure of this kind.
    """
    figures = _figures(data, kind)
    if not figures:
        raise DataError(
            f"no figure '{kind}' can be drawn: these results lack what it shows. Evaluate the "
            "tasks and missingness patterns that it needs, or choose another kind.",
            code="CS-S005",
        )
    return Plot(kind, figures)


def export_figures(data: ReportData, *, into: Path, file_format: str) -> list[Path]:
    """Write every figure of a report into a file of its own; a figure keeps its file name.

    Args:
        data: what figures are made from.
        into: the folder of the files.
        file_format: `svg`, `png` or `pdf`.

    Returns:
        The files, in the order of the report.

    Raises:
        DataError: not one figure can be drawn from the data.
    """
    written = []
    for kind in FIGURE_KINDS:
        for one in _figures(data, kind):
            path = path_in(into, one.picture.name, suffix=f".{file_format}")
            write_bytes(path, one.content(file_format))
            written.append(path)
    if not written:
        raise DataError(
            f"{into}: no figure can be drawn from these results. Evaluate more tasks, or export "
            "tables instead.",
            code="CS-S005",
        )
    return written


def _file_format(path: Path) -> str:
    file_format = path.suffix.removeprefix(".").lower()
    if file_format not in FILE_FORMATS:
        raise ValueError(f"{path}: expected a file name that ends in .png, .svg or .pdf")
    return file_format


def _figures(data: ReportData, kind: str) -> list[SheetFigure]:
    """Return each figure of a kind, with its heading and legend."""
    if kind not in FIGURE_KINDS:
        raise DefinitionError(
            unknown_name_message(kind, FIGURE_KINDS, what="kind of figure"), code="CS-F017"
        )
    return [
        SheetFigure(panel.picture, panel.title, section.content.legend)
        for section in draw_sections(FIGURE_KINDS[kind], data)
        for panel in (*section.content.panels, *section.content.more)
        if panel.picture is not None
    ]
