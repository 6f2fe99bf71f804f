from clinical_symile.reporting.result_lookup import Series
from clinical_symile.reporting.sections.modality_value import modality_value_panels
from clinical_symile.tracking.analysis_tables import ModalityValue, RunAnalysis
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


def test_values_of_modalities_stand_beside_the_oracle() -> None:
    rows = [
        worth("symile-0", "shapley", "ecg", 0.11),
        worth("oracle", "shapley", "ecg", 0.13),
        worth("symile-0", "interaction", "ecg+labs", -0.04),
        worth("symile-0", "alone", "ecg", 0.2),
    ]
    (panel,) = modality_value_panels(RunAnalysis(modality_value=rows), tasks=TASKS, series=SERIES)
    assert panel.head == ["", "Symile", "CLIP", "oracle"]
    assert panel.body[0] == ["ECG", "+0.110 (+0.090 to +0.130)", "not scored", "+0.130"]
    minus = "\N{MINUS SIGN}"
    first = f"{minus}0.040 ({minus}0.060 to {minus}0.020)"
    assert panel.body[1] == ["ECG and labs, together", first, "not scored", "\N{EN DASH}"]
    assert len(panel.body) == 2
    assert "<svg" in svg_of(panel)


def test_without_values_nothing_is_drawn() -> None:
    assert modality_value_panels(RunAnalysis(), tasks=TASKS, series=SERIES) == []
