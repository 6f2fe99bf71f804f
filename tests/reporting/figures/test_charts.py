"""What is written in a picture is what is drawn."""

import re
from itertools import pairwise

import pytest

from clinical_symile.reporting.figures.charts import Line, Mark, Row, curves, dots, heat

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
    rows = [Row("nothing missing", [Mark(None, 0.0, -end / 2, end / 2)])]
    sides = ("one is better", "other is better")
    svg = dots(rows, name="a", title="t", limits=(-end, end), sides=sides)
    assert _numbers(svg) == written


def test_long_words_at_both_ends_of_an_axis_stand_one_below_the_other():
    rows = [Row("nothing missing", [Mark(None, 0.0, -0.1, 0.1)])]
    for words, heights in (("short is better", 1), ("something that has a long name is better", 2)):
        svg = dots(rows, name="a", title="t", limits=(-0.2, 0.2), sides=(words, words))
        places = re.findall(r'<text[^>]* y="([\d.]+)"[^>]*>[^<]*better', svg)
        assert len(places) == 2
        assert len(set(places)) == heights


def test_ticks_of_a_curve_are_written_whole():
    svg = curves([Line(0, 0, [1, 2], [0.010, 0.116])], name="a", title="t", x_label="epoch")
    values = _numbers(svg)
    assert len(values) > 2
    assert len({round(second - first, 9) for first, second in pairwise(values)}) == 1


@pytest.mark.parametrize(
    "label", ["labs: 50 % of values missing, more often if severe", "without ECG", "as at the site"]
)
def test_the_label_of_a_row_of_shades_has_two_lines_at_most(label: str):
    svg = heat(
        [[0.5]],
        rows=[label],
        columns=["one"],
        texts=[["0.50"]],
        bold=[[False]],
        name="a",
        title="t",
    )
    lines = [word for word in re.findall(r"<text[^>]*>([^<]+)</text>", svg) if word in label]
    assert " ".join(lines) == label
    assert len(lines) <= 2
