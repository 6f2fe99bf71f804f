"""Panels of risks that are acted on: what stands in their tables and pictures."""

import re
from typing import Any

import pytest

from clinical_symile.reporting.result_lookup import Series
from clinical_symile.reporting.sections.risk import (
    CALIBRATION,
    CONFORMAL,
    SILENCE,
    decisions,
    measured,
)
from clinical_symile.tracking.analysis_tables import Measure, NetBenefit

TASK = "classification/died"
TASKS: dict[str, Any] = {
    TASK: {
        "kind": "classification",
        "inputs": ("cxr", "ecg"),
        "outcome": "died",
        "primary": "auroc",
        "higher_is_better": True,
    }
}
SERIES = [Series("a-0", "dropout", "dropout", 0, 0)]
ABOUT: dict[str, Any] = {"cohort": "c", "task": TASK, "part": None, "digest": "d"}
GRID = ("complete", "without-ecg", "mcar-10", "mcar-50", "mnar-50")
MINUS = "\N{MINUS SIGN}"


def told(run: str, pattern: str, measure: str, value: float) -> Measure:
    ends: dict[str, Any] = {"low": value - 0.02, "high": value + 0.02}
    return Measure(
        **ABOUT, run=run, missingness=pattern, measure=measure, value=value, **ends, n_samples=100
    )


def rows(measure: str, patterns: tuple[str, ...] = GRID) -> list[Measure]:
    return [told(run, p, measure, 0.9) for run in ("a-0", "oracle") for p in patterns]


def test_a_number_is_drawn_against_how_much_is_missing_and_told_of_every_pattern() -> None:
    panels = measured(
        rows("conformal/coverage"), CONFORMAL, tasks=TASKS, series=SERIES, slug="sets"
    )
    drawn, every = panels  # of mnar there is one rate alone: no line to draw
    assert drawn.across
    assert "missing by chance alone: sets that hold the truth" in drawn.title
    assert drawn.head == ["modalities", "dropout", "whoever knows how the data were made"]
    assert [row[0] for row in drawn.body] == [
        "nothing missing",
        "10 % missing at random",
        "50 % missing at random",
    ]
    assert drawn.body[0][1:] == ["90.0 (88.0 to 92.0)"] * 2
    assert "stroke-dasharray" in drawn.picture  # the oracle and the promise
    assert not every.picture
    assert len(every.body) == len(GRID)


def test_where_no_rates_were_asked_there_is_a_line_for_each_pattern() -> None:
    some = rows("calibration/slope", ("complete", "without-ecg", "mcar-30"))
    (panel,) = measured(some, CALIBRATION, tasks=TASKS, series=SERIES, slug="slope")
    assert not panel.across
    assert [row[0] for row in panel.body] == [
        "nothing missing",
        "without ECG",
        "30 % missing at random",
    ]
    assert "without ECG" in panel.picture


def test_silence_says_which_side_is_which() -> None:
    some = [told("a-0", "without-ecg", "silent/silence", -0.031)]
    (panel,) = measured(some, SILENCE, tasks=TASKS, series=SERIES, slug="silence")
    assert panel.body == [["without ECG", f"{MINUS}3.1 ({MINUS}5.1 to {MINUS}1.1)", "\N{EN DASH}"]]
    assert "fails silently" in panel.picture


def benefit(run: str, pattern: str, threshold: float, value: float) -> NetBenefit:
    return NetBenefit(
        **ABOUT,
        run=run,
        missingness=pattern,
        threshold=threshold,
        value=value,
        low=value - 0.01,
        high=value + 0.01,
        treat_all=0.3 - threshold,
        gain=value - max(0.3 - threshold, 0),
        gain_low=value - max(0.3 - threshold, 0) - 0.01,
        gain_high=value - max(0.3 - threshold, 0) + 0.01,
        n_samples=100,
    )


def test_a_decision_curve_has_its_gain_over_treating_everybody_and_nobody() -> None:
    some = [
        benefit(run, pattern, threshold, 0.25)
        for run in ("a-0", "oracle")
        for pattern in GRID
        for threshold in (0.05, 0.1, 0.2, 0.5)
    ]
    whole, least = decisions(some, tasks=TASKS, series=SERIES)
    assert whole.title.endswith("nothing missing")
    assert least.title.endswith("50 % missing at random")
    assert whole.head == [
        "gain per 100",
        *(f"acting from {percent} %" for percent in (5, 10, 20, 50)),
    ]
    # At 10 %: 25 per hundred less the 20 of treating everybody.
    assert whole.body[0][:3] == ["dropout", f"0.0 ({MINUS}1.0 to +1.0)", "+5.0 (+4.0 to +6.0)"]
    assert whole.body[1][0] == "best possible"
    assert re.search(r">net benefit per 100 patients<", whole.picture)


@pytest.mark.parametrize("quantities", [CALIBRATION, CONFORMAL, SILENCE])
def test_of_runs_that_tell_nothing_nothing_is_drawn(quantities: Any) -> None:
    assert measured([], quantities, tasks=TASKS, series=SERIES, slug="a") == []
    other = [told("b-0", "complete", quantities[0].measure, 0.5)]
    assert measured(other, quantities, tasks=TASKS, series=SERIES, slug="a") == []
    assert decisions([], tasks=TASKS, series=SERIES) == []
