from dataclasses import replace
from typing import Any

import pytest

from clinical_symile.reporting.result_lookup import ResultTable, Series
from clinical_symile.reporting.sections.noninferiority import least_margin, loss_panels
from clinical_symile.stats.equivalence import noninferiority_test
from clinical_symile.tracking.results import Comparison, Result
from tests.helpers.figures import svg_of

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
ABOUT: dict[str, Any] = {
    "cohort": "c",
    "task": TASK,
    "split": "held_out",
    "n_samples": 100,
    "n_subjects": 90,
    "metric": "auroc",
    "digest": "d",
}
LOSS = Comparison(
    **ABOUT,
    run="a-0",
    baseline="a-0",
    against="complete",
    missingness="without-ecg",
    difference=-0.01,
    low=-0.03,
    high=0.01,
    standard_error=0.01,
    p_holm=0.3,
)
MINUS = "\N{MINUS SIGN}"


def scores() -> ResultTable:
    result = Result(
        **ABOUT,
        run="oracle",
        missingness="complete",
        value=0.9,
        low=0.9,
        high=0.9,
        seed=0,
        chance=0.5,
        interval="bca",
        hidden={},
        mask="m",
    )
    return ResultTable([result, replace(result, missingness="without-ecg", value=0.86)])


def test_a_cost_stands_beside_the_smallest_that_is_ruled_out() -> None:
    (panel,) = loss_panels(
        [LOSS, replace(LOSS, missingness="mcar-50")], scores(), tasks=TASKS, series=SERIES
    )
    assert panel.head[-1] == "p (Holm)"
    # 0.01 + 1.96 x 0.01 = 0.030
    interval = f"{MINUS}0.030 to +0.010"
    assert panel.body == [["without ECG", "dropout", f"{MINUS}0.010", interval, "0.030", "0.300"]]
    assert "← loss" in svg_of(panel)


def test_with_a_margin_the_verdict_is_told() -> None:
    loss = replace(LOSS, margin=0.04, verdict="non-inferior")
    (panel,) = loss_panels([loss], scores(), tasks=TASKS, series=SERIES)
    assert panel.head[-1] == "within 0.040"
    assert panel.body[0][-1] == "non-inferior"


@pytest.mark.parametrize("difference", [-0.05, -0.01, 0.0, 0.03])
@pytest.mark.parametrize("sign", [1, -1])
def test_just_above_the_least_margin_a_loss_is_non_inferior_and_below_it_is_not_shown(
    difference: float, sign: int
) -> None:
    row = replace(LOSS, difference=sign * difference, standard_error=0.01)
    least = least_margin(row, sign)
    assert least is not None
    if least > 0:
        assert noninferiority_test(difference, 0.01, margin=least * 1.001).verdict != "not shown"
        assert noninferiority_test(difference, 0.01, margin=least * 0.999).verdict == "not shown"
    else:
        assert noninferiority_test(difference, 0.01, margin=1e-6).verdict != "not shown"


def test_where_nothing_is_left_out_nothing_is_drawn() -> None:
    assert loss_panels([], scores(), tasks=TASKS, series=SERIES) == []
    assert least_margin(replace(LOSS, standard_error=None), 1) is None
