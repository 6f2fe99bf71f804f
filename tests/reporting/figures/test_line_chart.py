import re
from itertools import pairwise

from clinical_symile.reporting.figures.line_chart import Line, curves
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
