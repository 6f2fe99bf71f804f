import re
from itertools import pairwise

import numpy as np
import pytest

from clinical_symile.reporting.figures.line_chart import Band, Line, bands, curves
from clinical_symile.reporting.figures.picture import MARKERS, PALETTE
from tests.helpers.figures import svg_of

MINUS = "\N{MINUS SIGN}"


def _numbers(svg: str) -> list[float]:
    words = re.findall(r"<text[^>]*>([^<]+)</text>", svg)
    return [float(word) for word in (w.replace(MINUS, "-") for w in words) if _is_number(word)]


def _is_number(word: str) -> bool:
    return re.fullmatch(r"[-+]?\d+\.\d+", word) is not None


def test_ticks_of_a_curve_are_written_whole():
    picture = curves([Line(0, 0, [1, 2], [0.010, 0.116])], name="a", title="t", x_label="epoch")
    values = _numbers(svg_of(picture))
    assert len(values) > 2
    assert len({round(second - first, 9) for first, second in pairwise(values)}) == 1


def test_a_colour_that_comes_again_has_another_marker_on_long_curves_too():
    points = [float(n) for n in range(60)]

    def drawn(family: int) -> tuple[object, ...]:
        line = Line(family, 0, points, points)
        picture = curves([line], name="a", title="t", x_label="epoch")
        (found,) = picture.figure.axes[0].lines
        return found.get_color(), found.get_marker(), found.get_markersize() > 0

    assert drawn(1) == (PALETTE[1], MARKERS[1], False)
    assert drawn(9) == (PALETTE[1], MARKERS[2], True)


@pytest.mark.parametrize("runs", [1, 2, 42])
def test_a_value_is_drawn_nearer_to_its_own_rate_than_to_the_next(runs: int):
    rates = [0.0, 10.0, 30.0, 50.0]
    lines = [Band(run, rates, [0.5] * 4, [0.4] * 4, [0.6] * 4) for run in range(runs)]
    picture = bands(lines, name="a", title="t", x_label="rate", y_label="recall")
    drawn = np.array([line.get_xdata() for line in picture.figure.axes[0].lines], dtype=float)
    moved = drawn - np.array(rates)
    assert np.abs(moved).max() < 5
    assert len(np.unique(moved[:, 0])) == runs  # no two are drawn over each other
