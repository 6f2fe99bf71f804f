import math

import pytest

from clinical_symile.reporting.figures._ticks import axis_limits, tick_label

MINUS = "\N{MINUS SIGN}"


def test_an_axis_holds_all_finite_values_with_a_margin():
    low, high = axis_limits([0.2, 0.8, math.nan, math.inf])
    assert low < 0.2
    assert high > 0.8
    assert axis_limits([]) == (-0.08, 1.08)


@pytest.mark.parametrize(
    ("value", "percent", "signed", "label"),
    [
        (0.25, True, False, "25 %"),
        (0.255, True, False, "25.5 %"),
        (-0.05, True, True, f"{MINUS}5"),
        (0.0, True, True, "0"),
        (0.125, False, False, "0.125"),
        (-0.1, False, True, f"{MINUS}0.10"),
    ],
)
def test_a_tick_is_written_exactly(value: float, percent: bool, signed: bool, label: str):
    assert tick_label(value, None, percent=percent, signed=signed) == label
