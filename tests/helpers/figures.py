"""Read what a figure shows."""

from clinical_symile.reporting.figures.picture import Picture
from clinical_symile.reporting.sections.base import ReportPanel


def svg_of(figure: ReportPanel | Picture) -> str:
    """Return the SVG element of a figure, or of the figure of a panel."""
    picture = figure if isinstance(figure, Picture) else figure.picture
    assert picture is not None
    return picture.__html__()
