from typing import Any

from clinical_symile.reporting.result_lookup import Series
from clinical_symile.reporting.sections.robustness import draw_robustness
from clinical_symile.tracking.benchmark_tables import Robustness
from tests.helpers.figures import svg_of
from tests.helpers.one_risk_task import TASK, TASKS

METHODS = {
    name: Series(f"{name}-0", name, name, place, 0) for place, name in enumerate(("symile", "clip"))
}


def robust(
    quantity: str, pattern: str, method: str, value: float | None, **more: Any
) -> Robustness:
    row: dict[str, Any] = {
        **{"cohort": "c", "task": TASK, "metric": "auroc", "method": method, "reason": None},
        **{"low": None if value is None else value - 0.1, "n_methods": 2, "n_samples": 100},
        **{"high": None if value is None else value + 0.1, "n_subjects": 90, "digest": "d"},
    }
    row |= {"quantity": quantity, "missingness": pattern, "value": value}
    return Robustness(**{**row, **more})


def drawn(*rows: Robustness):
    return draw_robustness(
        robustness=rows, tasks=TASKS, methods_by_task=METHODS, methods=[*METHODS.values()]
    )


def test_shares_have_a_figure_and_areas_a_table_each_with_its_interval():
    content = drawn(
        robust("retained", "without-ecg", "symile", 0.8),
        robust("retained", "without-ecg", "clip", 0.5, low=None, high=None, reason="perhaps"),
        robust("area", "mcar-50", "symile", 0.7),
        robust("area", "mcar-50", "clip", 0.6),
        robust("retained_area", "mcar-50", "symile", 0.9),
    )
    assert content is not None
    shares, areas = content.panels
    assert shares.head == ["modalities", "symile", "clip"]
    assert shares.body == [["without ECG", "80 % (70 to 90 %)", "50 % (no interval)"]]
    assert "without ECG" in svg_of(shares)
    assert areas.body == [
        ["0 to 50 %, completely at random", "0.700 (0.600 to 0.800)", "0.600 (0.500 to 0.700)"],
        ["0 to 50 %, completely at random, retained share", "90 % (80 to 100 %)", "\N{EN DASH}"],
    ]


def test_effective_robustness_is_shown_or_said_to_be_impossible():
    few = "needs 6 methods or more; there are 2"
    share = robust("retained", "without-ecg", "symile", 0.8)
    content = drawn(share, robust("effective", "without-ecg", "symile", None, reason=few))
    assert content is not None
    assert f"Here it cannot be computed: it {few}." in content.text
    assert len(content.panels) == 1
    content = drawn(share, robust("effective", "without-ecg", "symile", 0.03))
    assert content is not None
    assert "cannot be computed" not in content.text
    assert content.panels[1].body == [["without ECG", "+0.030 (\N{MINUS SIGN}0.070 to +0.130)"]]


def test_without_numbers_there_is_no_section():
    assert drawn() is None
    at_chance = robust("retained", "without-ecg", "symile", None, reason="at chance")
    assert drawn(at_chance) is None
