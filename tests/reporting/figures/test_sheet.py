import io
import re

import pytest
from PIL import Image

from clinical_symile.reporting.figures.line_chart import Line, curves
from clinical_symile.reporting.figures.sheet import SheetFigure, sheet


@pytest.fixture
def figures() -> list[SheetFigure]:
    return [
        SheetFigure(
            curves([Line(0, 0, [1, 2], [0.1, y])], name=name, title=name, x_label="epoch"), name
        )
        for name, y in (("a", 0.2), ("b", 0.3), ("c", 0.4))
    ]


def _size(figure: SheetFigure) -> tuple[int, int]:
    return Image.open(io.BytesIO(figure.content("png"))).size


def test_a_png_has_two_columns_and_as_many_rows_as_needed(figures: list[SheetFigure]):
    page = Image.open(io.BytesIO(sheet(figures, "png")))
    sizes = [_size(one) for one in figures]
    widest = max(width for width, _ in sizes)
    heights = [height for _, height in sizes]
    assert page.size == (2 * widest, max(heights[:2]) + heights[2])
    alone = Image.open(io.BytesIO(figures[1].content("png"))).convert("RGB")
    left, top = widest, 0
    inside = page.crop((left, top, left + alone.width, top + alone.height))
    assert inside.tobytes() == alone.tobytes()


def test_an_svg_holds_every_figure_with_ids_of_its_own(figures: list[SheetFigure]):
    text = sheet(figures, "svg").decode()
    assert text.count("<svg") == 4
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', text)) <= set(ids)


def test_a_pdf_has_a_page_for_each_figure(figures: list[SheetFigure]):
    assert len(re.findall(rb"/Type /Page\b(?!s)", sheet(figures, "pdf"))) == 3


@pytest.mark.parametrize("file_format", ["svg", "png", "pdf"])
def test_one_figure_is_a_file_like_any_other(figures: list[SheetFigure], file_format: str):
    assert sheet(figures[:1], file_format) == figures[0].content(file_format)
