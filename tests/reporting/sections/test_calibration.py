from clinical_symile.reporting.result_lookup import Series
from clinical_symile.reporting.sections.calibration import (
    calibration_panels,
    draw_calibration,
    unlucky_slopes,
)
from clinical_symile.tracking.analysis_tables import CalibrationBin, Measure, RunAnalysis
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
    analysis = RunAnalysis(calibration=bins, measures=measures)
    (panel,) = calibration_panels(analysis, tasks=TASKS, series=SERIES)
    assert panel.body == [
        ["nothing missing", "Symile", "0.80", "0.70 to 0.90", "1.02"],
        ["ECG only", "Symile", "0.80", "0.70 to 0.90", "1.02"],
    ]
    assert "predicted and observed" in panel.title
    assert "<svg" in svg_of(panel)
    assert not calibration_panels(analysis, tasks=TASKS, series=SERIES[1:])
    (small,) = calibration_panels(RunAnalysis(measures=measures), tasks=TASKS, series=SERIES)
    assert (small.picture, small.body) == (None, panel.body)


def test_without_slopes_nothing_is_drawn() -> None:
    assert calibration_panels(RunAnalysis(), tasks=TASKS, series=SERIES) == []


def _slope(run: str, pattern: str, low: float | None, high: float | None) -> Measure:
    return Measure(
        **ABOUT,
        run=run,
        missingness=pattern,
        part=None,
        measure="calibration/slope",
        value=0.8,
        low=low,
        high=high,
        n_samples=200,
    )


def test_an_unlucky_split_is_named_by_the_slope_of_the_oracle() -> None:
    unlucky = [_slope("oracle", "complete", 0.68, 0.95), _slope("clip-0", "complete", 0.7, 0.9)]
    (sentence,) = unlucky_slopes(unlucky, tasks=TASKS)
    assert "its slope on these patients is 0.80 (0.68 to 0.95)" in sentence
    assert "this split is unlucky" in sentence
    content = draw_calibration(
        analysis=RunAnalysis(measures=unlucky), tasks=TASKS, series=SERIES, methods=SERIES
    )
    assert content is not None
    assert sentence in str(content.text)
    for usual in (
        _slope("oracle", "complete", 0.68, 1.05),
        _slope("oracle", "complete", None, None),
        _slope("oracle", "without-ecg", 0.68, 0.95),
        _slope("clip-0", "complete", 0.68, 0.95),
    ):
        assert unlucky_slopes([usual], tasks=TASKS) == []
