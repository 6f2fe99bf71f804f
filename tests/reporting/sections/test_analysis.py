"""Panels of what else is told of runs: what stands in their tables and pictures."""

from typing import Any

import pytest

from clinical_symile.reporting.result_lookup import Series
from clinical_symile.reporting.sections.analysis import calibrations, modality_values, subgroups
from clinical_symile.tracking.analysis_tables import (
    CalibrationBin,
    Measure,
    ModalityValue,
    RunAnalysis,
    SubgroupResult,
)

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


def worth(run: str, quantity: str, modalities: str, value: float) -> ModalityValue:
    return ModalityValue(
        **ABOUT,
        run=run,
        metric="auroc",
        quantity=quantity,
        modalities=modalities,
        value=value,
        low=value - 0.02,
        high=value + 0.02,
        n_samples=400,
        n_subjects=300,
    )


def group(run: str, subgroup: str, level: str, **changes: Any) -> SubgroupResult:
    told: dict[str, Any] = {
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
        **{"missingness": "complete", **told, **changes},
    )


def test_values_of_modalities_stand_beside_the_best_possible() -> None:
    rows = [
        worth("symile-0", "shapley", "ecg", 0.11),
        worth("oracle", "shapley", "ecg", 0.13),
        worth("symile-0", "interaction", "ecg+labs", -0.04),
        worth("symile-0", "alone", "ecg", 0.2),
    ]
    (panel,) = modality_values(RunAnalysis(modality_value=rows), tasks=TASKS, series=SERIES)
    assert panel.head == ["", "Symile", "CLIP", "best possible"]
    assert panel.body[0] == ["ECG", "+0.110 (+0.090 to +0.130)", "not scored", "+0.130"]
    minus = "\N{MINUS SIGN}"
    first = f"{minus}0.040 ({minus}0.060 to {minus}0.020)"
    assert panel.body[1] == ["ECG and labs, together", first, "not scored", "\N{EN DASH}"]
    assert len(panel.body) == 2
    assert "<svg" in panel.picture


def test_a_calibration_curve_has_its_numbers_under_every_pattern() -> None:
    bins = [
        CalibrationBin(
            **ABOUT,
            run="symile-0",
            missingness="complete",
            part=None,
            recalibrated=False,
            bin=number,
            predicted=0.1 * number,
            observed=None if number == 3 else 0.12 * number,
            low=0.0,
            high=1.0,
            n_samples=None if number == 3 else 50,
        )
        for number in range(4)
    ]
    measures = [
        Measure(
            **ABOUT,
            run="symile-0",
            missingness=pattern,
            part=None,
            measure=name,
            value=value,
            low=value - 0.1,
            high=value + 0.1,
            n_samples=200,
        )
        for pattern in ("complete", "only-ecg")
        for name, value in (("calibration/slope", 0.8), ("recalibrated/slope", 1.02))
    ]
    told = RunAnalysis(calibration=bins, measures=measures)
    (panel,) = calibrations(told, tasks=TASKS, series=SERIES)
    assert panel.body == [
        ["nothing missing", "Symile", "0.80", "0.70 to 0.90", "1.02"],
        ["ECG only", "Symile", "0.80", "0.70 to 0.90", "1.02"],
    ]
    assert "told and come true" in panel.title
    assert "<svg" in panel.picture
    assert not calibrations(told, tasks=TASKS, series=SERIES[1:])
    (small,) = calibrations(RunAnalysis(measures=measures), tasks=TASKS, series=SERIES)
    assert (small.picture, small.body) == ("", panel.body)


def test_groups_are_told_and_small_ones_withheld() -> None:
    nothing = dict.fromkeys(("value", "low", "high", "gap", "p_holm", "n_samples", "n_subjects"))
    rows = [
        group("symile-0", "sex", "F"),
        group("symile-0", "sex", "X", **nothing, withheld="fewer than 10 people"),
        group("symile-0", "sex", "F", missingness="only-ecg", value=0.1),
        group("symile-0", "availability", "ecg+labs", missingness="observed", gap=None),
    ]
    (panel,) = subgroups(RunAnalysis(subgroups=rows), tasks=TASKS, series=SERIES)
    gap = "\N{MINUS SIGN}0.020"
    assert panel.body == [
        ["sex: F", "Symile", "0.800 (0.750 to 0.850)", gap, "0.400", "120"],
        ["sex: X", "Symile", "withheld: too few", "", "", ""],
        ["has ECG and labs", "Symile", "0.800 (0.750 to 0.850)", "\N{EN DASH}", "0.400", "120"],
    ]
    assert "sex: X" not in panel.picture


@pytest.mark.parametrize("draw", [modality_values, calibrations, subgroups])
def test_where_nothing_is_told_nothing_is_drawn(draw: Any) -> None:
    assert draw(RunAnalysis(), tasks=TASKS, series=SERIES) == []
