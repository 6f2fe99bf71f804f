from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from clinical_symile.reporting.figures.plots import PLOT_FORMATS, Plot
from clinical_symile.reporting.results import Comparisons
from tests.reporting.test_results import COMPARISON, RESULTS, SIGNIFICANT

BEGINS = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
PLOTS = {
    "degradation": lambda: RESULTS.plot("degradation"),
    "intervals": lambda: RESULTS.plot("intervals"),
    "differences": lambda: Comparisons((COMPARISON, SIGNIFICANT)).plot(),
}


@pytest.mark.parametrize("form", PLOT_FORMATS)
@pytest.mark.parametrize("kind", PLOTS)
def test_a_plot_is_written_in_each_format_with_equal_bytes(kind: str, form: str, tmp_path: Path):
    one, other = (PLOTS[kind]().save(tmp_path / f"{name}.{form}") for name in "ab")
    assert one.read_bytes().startswith(BEGINS[form])
    assert one.read_bytes() == other.read_bytes()


def test_an_svg_needs_no_font_and_no_other_file(tmp_path: Path):
    text = PLOTS["degradation"]().save(tmp_path / "plot.svg").read_text()
    assert "<text" not in text
    assert 'href="http' not in text
    assert "var(--" not in text


def test_points_and_intervals_are_where_the_numbers_are():
    panel = PLOTS["degradation"]().figure.axes[0]
    lines = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in panel.lines}
    assert lines["symile-0"] == [0.5, 0.3]
    assert lines["clip_0"] == [0.25]
    assert [0.1, 0.1] in lines.values()
    drawn = panel.collections[0]
    assert isinstance(drawn, LineCollection)
    segments = drawn.get_segments()
    assert [sorted(segment[:, 1]) for segment in segments] == [[0.4, 0.6], [0.2, 0.35]]


def test_a_notebook_shows_the_picture():
    assert PLOTS["intervals"]()._repr_png_().startswith(BEGINS["png"])


def test_another_format_is_refused(tmp_path: Path):
    plot = PLOTS["intervals"]()
    assert isinstance(plot, Plot)
    with pytest.raises(ValueError, match=r"expected \.png, \.svg or \.pdf"):
        plot.save(tmp_path / "plot.gif")
