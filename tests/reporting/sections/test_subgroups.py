from typing import Any

from clinical_symile.reporting.result_lookup import Series
from clinical_symile.reporting.sections.subgroups import subgroup_panels
from clinical_symile.tracking.analysis_tables import RunAnalysis, SubgroupResult
from tests.helpers.figures import svg_of

TASK = "classification/deterioration"
TASKS = {
    TASK: {
        "kind": "classification",
        "inputs": ["cxr", "ecg", "labs"],
        "outcome": "deterioration",
        "primary": "auroc",
    }
}
SERIES = [Series("symile-0", "Symile", "Symile", 0, 0), Series("clip-0", "CLIP", "CLIP", 1, 0)]
ABOUT = {"cohort": "synthetic", "task": TASK, "digest": "same"}


def group(run: str, subgroup: str, level: str, **changes: Any) -> SubgroupResult:
    fields: dict[str, Any] = {
        "value": 0.8,
        "low": 0.75,
        "high": 0.85,
        "gap": -0.02,
        "gap_low": -0.05,
        "gap_high": 0.01,
        "p_value": 0.2,
        "p_holm": 0.4,
        "worst": 0.7,
        "n_samples": 120,
        "n_subjects": 100,
        "withheld": None,
    }
    return SubgroupResult(
        **ABOUT,
        run=run,
        metric="auroc",
        subgroup=subgroup,
        level=level,
        n_tests=4,
        **{"missingness": "complete", **fields, **changes},
    )


def test_groups_are_shown_and_small_ones_withheld() -> None:
    nothing = dict.fromkeys(("value", "low", "high", "gap", "p_holm", "n_samples", "n_subjects"))
    rows = [
        group("symile-0", "sex", "F"),
        group("symile-0", "sex", "X", **nothing, withheld="fewer than 10 people"),
        group("symile-0", "sex", "F", missingness="only-ecg", value=0.1),
        group("symile-0", "availability", "ecg+labs", missingness="observed", gap=None),
    ]
    (panel,) = subgroup_panels(RunAnalysis(subgroups=rows), tasks=TASKS, series=SERIES)
    gap = "\N{MINUS SIGN}0.020"
    assert panel.body == [
        ["sex: F", "Symile", "0.800 (0.750 to 0.850)", gap, "0.400", "120"],
        ["sex: X", "Symile", "withheld: too few", "", "", ""],
        ["has ECG and labs", "Symile", "0.800 (0.750 to 0.850)", "\N{EN DASH}", "0.400", "120"],
    ]
    assert "sex: X" not in svg_of(panel)


def test_without_groups_nothing_is_drawn() -> None:
    assert subgroup_panels(RunAnalysis(), tasks=TASKS, series=SERIES) == []
