import re

import pytest

from clinical_symile.reporting.figures.dot_plot import DotRow, Mark, dots
from tests.helpers.figures import svg_of

MINUS = "\N{MINUS SIGN}"


def _numbers(svg: str) -> list[float]:
    words = re.findall(r"<text[^>]*>([^<]+)</text>", svg)
    return [float(word) for word in (w.replace(MINUS, "-") for w in words) if _is_number(word)]


def _is_number(word: str) -> bool:
    return re.fullmatch(r"[-+]?\d+\.\d+", word) is not None


@pytest.mark.parametrize(
    ("end", "written"),
    [(0.055, [-0.04, -0.02, 0, 0.02, 0.04]), (0.012, [-0.01, -0.005, 0, 0.005, 0.01])],
)
def test_ticks_of_a_difference_stand_at_round_values_and_say_them(end: float, written: list[float]):
    rows = [DotRow("nothing missing", [Mark(None, 0.0, -end / 2, end / 2)])]
    sides = ("one is better", "other is better")
    picture = dots(rows, name="a", title="t", limits=(-end, end), sides=sides)
    assert _numbers(svg_of(picture)) == written


def test_long_words_at_both_ends_of_an_axis_stand_one_below_the_other():
    rows = [DotRow("nothing missing", [Mark(None, 0.0, -0.1, 0.1)])]
    for words, heights in (("short is better", 1), ("something that has a long name is better", 2)):
        picture = dots(rows, name="a", title="t", limits=(-0.2, 0.2), sides=(words, words))
        places = re.findall(r'<text[^>]* y="([\d.]+)"[^>]*>[^<]*better', svg_of(picture))
        assert len(places) == 2
        assert len(set(places)) == heights
