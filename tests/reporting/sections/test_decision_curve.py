import re
from typing import Any

from clinical_symile.reporting.result_lookup import Series
from clinical_symile.reporting.sections.decision_curve import decision_curve_panels
from clinical_symile.tracking.analysis_tables import NetBenefit
from tests.helpers.figures import svg_of
from tests.helpers.one_risk_task import TASK, TASKS

SERIES = [Series("a-0", "dropout", "dropout", 0, 0)]
ABOUT: dict[str, Any] = {"cohort": "c", "task": TASK, "part": None, "digest": "d"}
GRID = ("complete", "without-ecg", "mcar-10", "mcar-50", "mnar-50")
MINUS = "\N{MINUS SIGN}"


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
    whole, least = decision_curve_panels(some, tasks=TASKS, series=SERIES)
    assert whole.title.endswith("nothing missing")
    assert least.title.endswith("50 % missing at random")
    assert whole.head == [
        "gain per 100",
        *(f"threshold {percent} %" for percent in (5, 10, 20, 50)),
    ]
    # At 10 %: 25 per hundred less the 20 of treating everybody.
    assert whole.body[0][:3] == ["dropout", f"0.0 ({MINUS}1.0 to +1.0)", "+5.0 (+4.0 to +6.0)"]
    assert whole.body[1][0] == "oracle"
    assert re.search(r">net benefit per 100 patients<", svg_of(whole))


def test_without_thresholds_nothing_is_drawn() -> None:
    assert decision_curve_panels([], tasks=TASKS, series=SERIES) == []
