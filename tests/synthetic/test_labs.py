"""The synthetic panel: its signs and its analytes."""

import csv
from pathlib import Path

from clinical_symile.synthetic import labs as synthetic_labs

COHORT = Path(__file__).resolve().parents[2] / "cohorts" / "synthetic" / "cohort.toml"


def test_every_sign_has_three_analytes_that_are_always_measured(rng):
    drawn = [synthetic_labs.draw_labs([], rng).keys() for _ in range(50)]
    for sign in range(len(synthetic_labs.LAB_SIGNS)):
        items = {
            analyte.itemid for analyte in synthetic_labs.SYNTHETIC_PANEL if analyte.sign == sign
        }
        assert len(items) == 3
        assert all(items <= measured for measured in drawn)
    assert any(len(measured) < len(synthetic_labs.SYNTHETIC_PANEL) for measured in drawn)


def test_the_panel_lists_every_analyte_that_is_drawn():
    with (COHORT.parent / "labs.csv").open(newline="") as file:
        columns = [row["column"] for row in csv.DictReader(file)]
    assert columns == [f"lab_{analyte.itemid}" for analyte in synthetic_labs.SYNTHETIC_PANEL]
