import re
from typing import Any

from clinical_symile.reporting.result_lookup import Series
from clinical_symile.reporting.sections.decision_curve import (
    decision_curve_panels,
    draw_decision_curve,
)
from clinical_symile.tracking.analysis_tables import NetBenefit, RunAnalysis
from clinical_symile.tracking.benchmark_tables import NetBenefitDifference
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


def difference(threshold: float, p_holm: float | None) -> NetBenefitDifference:
    return NetBenefitDifference(
        **ABOUT,
        run="a-0",
        baseline="b-0",
        missingness="complete",
        threshold=threshold,
        difference=0.012,
        low=0.004,
        high=0.02,
        p_value=p_holm,
        p_holm=p_holm,
        n_samples=100,
        n_subjects=90,
    )


def test_significant_differences_of_net_benefit_are_listed_and_counted() -> None:
    rows = [difference(0.1, 0.2), difference(0.2, 0.01), difference(0.5, None)]
    content = draw_decision_curve(
        analysis=RunAnalysis(net_benefit=[benefit("a-0", "complete", 0.2, 0.25)]),
        net_benefit_differences=rows,
        tasks=TASKS,
        series=[*SERIES, Series("b-0", "symile", "symile", 1, 0)],
        methods=SERIES,
        has_oracle=False,
    )
    assert content is not None
    assert "1 of 2 differences of net benefit are significant" in content.more_text
    assert "<" not in content.more_text  # a page shows a text as it is
    (panel,) = content.more
    ((first, _, _, threshold, shown, p_value),) = panel.body
    assert first == "dropout, minus symile"
    assert (threshold, shown, p_value) == ("20 %", "+1.2 (+0.4 to +2.0)", "0.010")
