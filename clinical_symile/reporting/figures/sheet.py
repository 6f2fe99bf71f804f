"""Put several figures of a report into one file: SVG and PNG side by side, PDF a page each."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.backends.backend_pdf import PdfPages
from PIL import Image

from clinical_symile.reporting.figures.picture import (
    NO_DATE,
    RESOLUTION_DPI,
    Legend,
    Picture,
)

_COLUMNS = 2
_SIZE = re.compile(r'width="([\d.]+)pt" height="([\d.]+)pt"')


@dataclass(frozen=True)
class SheetFigure:
    """A figure with what stands above and below it in a file.

    Attributes:
        picture: the figure.
        heading: written above it.
        legend: drawn below it; None where it has none.
    """

    picture: Picture
    heading: str = ""
    legend: Legend | None = None

    def content(self, file_format: str, *, dpi: int = RESOLUTION_DPI) -> bytes:
        """Return the content of a file with this figure alone; see `Picture.write`."""
        buffer = io.BytesIO()
        self.picture.write(buffer, file_format, heading=self.heading, legend=self.legend, dpi=dpi)
        return buffer.getvalue()


def sheet(figures: Sequence[SheetFigure], file_format: str) -> bytes:
    """Return the content of a file with all figures, in two columns; PDF has a page for each.

    Args:
        figures: at least one, with different names.
        file_format: `svg`, `png` or `pdf`.
    """
    if len(figures) == 1:
        return figures[0].content(file_format)
    return {"svg": _svg, "png": _png, "pdf": _pdf}[file_format](figures)


def _pdf(figures: Sequence[SheetFigure]) -> bytes:
    buffer = io.BytesIO()
    with PdfPages(buffer, metadata=NO_DATE["pdf"]) as pages:
        for one in figures:
            one.picture.write(pages, "pdf", heading=one.heading, legend=one.legend)
    return buffer.getvalue()


def _png(figures: Sequence[SheetFigure]) -> bytes:
    images = [Image.open(io.BytesIO(one.content("png"))) for one in figures]
    places, (width, height) = _places([(image.width, image.height) for image in images])
    page = Image.new("RGB", (round(width), round(height)), "white")
    for image, (left, top) in zip(images, places, strict=True):
        page.paste(image.convert("RGB"), (round(left), round(top)))
    buffer = io.BytesIO()
    page.save(buffer, format="png", dpi=(RESOLUTION_DPI, RESOLUTION_DPI))
    return buffer.getvalue()


def _svg(figures: Sequence[SheetFigure]) -> bytes:
    drawings = [one.content("svg").decode("utf-8") for one in figures]
    sizes = [(float(size[1]), float(size[2])) for text in drawings if (size := _SIZE.search(text))]
    places, (width, height) = _places(sizes)
    parts = [
        '<?xml version="1.0" encoding="utf-8" standalone="no"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}pt" height="{height:g}pt" '
        f'viewBox="0 0 {width:g} {height:g}">',
        f'<rect width="{width:g}" height="{height:g}" fill="white"/>',
    ]
    for one, text, (left, top) in zip(figures, drawings, places, strict=True):
        name = one.picture.name  # ids must differ between figures
        text = re.sub(r'\bid="', f'id="{name}-', text[text.index("<svg") :])
        text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
        parts.append(
            _SIZE.sub(rf'x="{left:g}" y="{top:g}" width="\1" height="\2"', text, count=1).strip()
        )
    return "\n".join([*parts, "</svg>", ""]).encode()


def _places(
    sizes: Sequence[tuple[int | float, int | float]],
) -> tuple[list[tuple[int | float, int | float]], tuple[int | float, int | float]]:
    """Return the left upper corner of each figure, and width and height of the sheet."""
    column = max(width for width, _ in sizes)
    places, top = [], 0
    for start in range(0, len(sizes), _COLUMNS):
        row = sizes[start : start + _COLUMNS]
        places += [(place * column, top) for place in range(len(row))]
        top += max(height for _, height in row)
    return places, (column * min(_COLUMNS, len(sizes)), top)
