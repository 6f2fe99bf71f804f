from typing import Any

import pytest

from clinical_symile.reporting.result_lookup import Series
from clinical_symile.reporting.sections.reliability import (
    CALIBRATION_QUANTITIES,
    CONFORMAL_QUANTITIES,
    HIGH_CONFIDENCE_QUANTITIES,
    SELECTIVE_QUANTITIES,
    quantity_panels,
)
from clinical_symile.tracking.analysis_tables import Measure
from tests.helpers.figures import svg_of
from tests.helpers.one_risk_task import TASK, TASKS

SERIES = [Series("a-0", "dropout", "dropout", 0, 0)]
ABOUT: dict[str, Any] = {"cohort": "c", "task": TASK, "part": None, "digest": "d"}
GRID = ("complete", "without-ecg", "mcar-10", "mcar-50", "mnar-50")
MINUS = "\N{MINUS SIGN}"


def measure_row(run: str, pattern: str, measure: str, value: float) -> Measure:
    ends: dict[str, Any] = {"low": value - 0.02, "high": value + 0.02}
    return Measure(
        **ABOUT, run=run, missingness=pattern, measure=measure, value=value, **ends, n_samples=100
    )


def rows(measure: str, patterns: tuple[str, ...] = GRID) -> list[Measure]:
    return [measure_row(run, p, measure, 0.9) for run in ("a-0", "oracle") for p in patterns]


def test_a_number_is_drawn_against_how_much_is_missing_and_told_of_every_pattern() -> None:
    panels = quantity_panels(
        rows("conformal/coverage"), CONFORMAL_QUANTITIES, tasks=TASKS, series=SERIES, name="sets"
    )
    drawn, every = panels  # of mnar there is one rate alone: no line to draw
    assert drawn.across
    assert "missing completely at random: sets that hold the true outcome" in drawn.title
    assert drawn.head == ["modalities", "dropout", "oracle"]
    assert [row[0] for row in drawn.body] == [
        "nothing missing",
        "10 % missing at random",
        "50 % missing at random",
    ]
    assert drawn.body[0][1:] == ["90.0 (88.0 to 92.0)"] * 2
    assert "stroke-dasharray" in svg_of(drawn)  # the oracle and the promise
    assert not every.picture
    assert len(every.body) == len(GRID)


def test_where_no_rates_were_asked_there_is_a_line_for_each_pattern() -> None:
    some = rows("calibration/slope", ("complete", "without-ecg", "mcar-30"))
    (panel,) = quantity_panels(
        some, CALIBRATION_QUANTITIES, tasks=TASKS, series=SERIES, name="slope"
    )
    assert not panel.across
    assert [row[0] for row in panel.body] == [
        "nothing missing",
        "without ECG",
        "30 % missing at random",
    ]
    assert "without ECG" in svg_of(panel)


def test_high_confidence_errors_say_which_side_is_which() -> None:
    some = [measure_row("a-0", "without-ecg", "high_confidence_errors/gap", -0.031)]
    (panel,) = quantity_panels(
        some, HIGH_CONFIDENCE_QUANTITIES, tasks=TASKS, series=SERIES, name="silence"
    )
    assert panel.body == [["without ECG", f"{MINUS}3.1 ({MINUS}5.1 to {MINUS}1.1)", "\N{EN DASH}"]]
    assert "accuracy falls more" in svg_of(panel)


def test_risks_of_abstaining_are_drawn_for_each_pattern() -> None:
    some = [measure_row("a-0", "complete", "selective/risk_at_80", 0.12)]
    (panel,) = quantity_panels(some, SELECTIVE_QUANTITIES, tasks=TASKS, series=SERIES, name="sure")
    assert "wrong answers among the surest 80 %" in panel.title
    assert panel.body[0][1] == "12.0 (10.0 to 14.0)"


@pytest.mark.parametrize(
    "quantities",
    [
        CALIBRATION_QUANTITIES,
        CONFORMAL_QUANTITIES,
        HIGH_CONFIDENCE_QUANTITIES,
        SELECTIVE_QUANTITIES,
    ],
)
def test_of_runs_that_tell_nothing_nothing_is_drawn(quantities: Any) -> None:
    assert quantity_panels([], quantities, tasks=TASKS, series=SERIES, name="a") == []
    other = [measure_row("b-0", "complete", quantities[0].measure, 0.5)]
    assert quantity_panels(other, quantities, tasks=TASKS, series=SERIES, name="a") == []
