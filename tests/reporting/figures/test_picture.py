import io

import pytest

from clinical_symile.reporting.figures.line_chart import Line, curves
from clinical_symile.reporting.figures.picture import (
    MARKERS,
    PALETTE,
    Legend,
    Picture,
    series_look,
    series_symbol,
    series_variable,
)


@pytest.fixture
def picture() -> Picture:
    return curves([Line(1, 0, [1, 2], [0.1, 0.2])], name="a-b", title="<A & B>", x_label="epoch")


def test_an_inline_figure_takes_its_colours_from_the_page(picture: Picture):
    svg = picture.__html__()
    assert svg.startswith("<svg viewBox=")
    assert "var(--series-1)" in svg
    assert "#d55e00" not in svg
    assert 'id="a-b-title">&lt;A &amp; B&gt;' in svg
    assert svg == picture.__html__()


def test_a_file_has_colours_outlines_and_the_legend_of_what_is_drawn(picture: Picture):
    legend = Legend([(0, "absent"), (1, "drawn")], dotted="chance level")
    file = io.BytesIO()
    picture.write(file, "svg", heading="Heading", legend=legend)
    text = file.getvalue().decode()
    assert "#d55e00" in text
    assert "#0072b2" not in text  # family 0 is not in this figure
    assert "<text" not in text


def test_sixty_four_methods_have_different_pairs_of_colour_and_marker():
    looks = [series_look(family) for family in range(64)]
    assert len({*looks}) == 64
    assert looks[:8] == [*zip(PALETTE, MARKERS, strict=True)]


def test_the_legend_of_a_page_has_the_markers_and_colours_of_its_figures():
    for family in range(64):
        colour, marker = series_look(family)
        assert "●■▲◆▼✚✖★"[MARKERS.index(marker)] == series_symbol(family)
        assert f"--series-{PALETTE.index(colour)}" == series_variable(family)
    assert (series_symbol(8), series_variable(8)) == ("■", "--series-0")  # a square in blue
