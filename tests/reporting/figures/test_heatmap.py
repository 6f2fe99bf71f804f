import re

import pytest

from clinical_symile.reporting.figures.heatmap import heat
from tests.helpers.figures import svg_of


@pytest.mark.parametrize(
    "label",
    ["labs: 50 % of values missing, more often by its value", "without ECG", "as at the site"],
)
def test_the_label_of_a_row_of_shades_has_two_lines_at_most(label: str):
    picture = heat(
        [[0.5]],
        rows=[label],
        columns=["one"],
        texts=[["0.50"]],
        bold=[[False]],
        name="a",
        title="t",
    )
    lines = [
        word for word in re.findall(r"<text[^>]*>([^<]+)</text>", svg_of(picture)) if word in label
    ]
    assert " ".join(lines) == label
    assert len(lines) <= 2
