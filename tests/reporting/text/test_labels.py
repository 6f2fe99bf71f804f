import pytest

from clinical_symile.reporting.text.labels import (
    baseline_label,
    metric_description,
    metric_label,
    missing_modality_label,
    modality_label,
    objective_label,
    outcome_label,
    part_words,
    pattern_label,
    task_label,
)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("complete", "nothing missing"),
        ("observed", "as recorded"),
        ("without-ecg", "without ECG"),
        ("only-cxr-labs", "chest X-ray and labs only"),
        ("mcar-30", "30 % missing at random"),
        ("mar-age-30", "30 % missing, more often by age"),
        ("mnar-30", "30 % missing, more often by its value"),
        ("labs-mnar-50", "labs: 50 % of values missing, more often by its value"),
        ("site-ward_b", "as available at the site of ward b"),
        ("mcar-ecg-50-labs-20", "ECG 50 % and labs 20 % missing at random"),
        ("mcar-50-corr-60", "50 % missing at random, together (correlation 0.60)"),
        ("mcar-50@at-least-one", "50 % missing at random, never all"),
        ("mar-age-ecg-50-labs-20", "ECG 50 % and labs 20 % missing, more often by age"),
        ("my-own", "my-own"),
        ("ecg-leads-mcar-30", "ECG: 30 % of leads missing at random"),
        ("ecg-leads-mar-age-30", "ECG: 30 % of leads missing, more often by age"),
        ("ecg-segment-2.5s", "ECG: 2.5 s in a row lost"),
        ("cxr-region-25", "chest X-ray: 25 % of the image covered"),
        ("ecg-noise-2.5db", "ECG: noise at 2.5 dB"),
        ("cxr-noise-10", "chest X-ray: noise of 10 %"),
        ("cxr-marker-died-90", "chest X-ray: a marker tied to died: 90 %"),
    ],
)
def test_a_pattern_has_a_label(name: str, label: str):
    assert pattern_label(name) == label


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("labs-mnar-50", "labs: values missing, more often by its value"),
        ("ecg-leads-mcar-30", "ECG: leads missing at random"),
        ("ecg-segment-3s", "ECG: a segment lost"),
        ("cxr-region-25", "chest X-ray: a region covered"),
        ("ecg-noise-10db", "ECG: noise added"),
        (
            "cxr-marker-shift-died-90",
            "chest X-ray: a marker tied to died, but not in held-out samples",
        ),
    ],
)
def test_a_curve_within_a_modality_has_words(name: str, words: str):
    assert part_words(name) == words


def test_an_unknown_name_is_its_own_label():
    assert modality_label("skin_photo") == "skin photo"
    assert objective_label("my_lab.losses:Triple") == "Triple"
    assert baseline_label("mine") == "mine"
    assert missing_modality_label("mine") == "mine"
    assert metric_label("my_metric") == "my metric"
    assert metric_description("my_metric") == ""


def test_a_metric_of_an_outcome_names_both():
    assert metric_label("auroc/edema") == "AUROC, edema"
    assert metric_label("recall_at_5") == "recall@5"
    assert outcome_label(["edema", "cardiac_arrest"]) == "edema and cardiac arrest"


def test_every_recall_is_explained_with_its_k():
    assert metric_description("recall_at_1").endswith("candidate is ranked first.")
    for k in (5, 10):
        assert metric_description(f"recall_at_{k}").endswith(f"is among the first {k}.")
        assert metric_label(f"recall_at_{k}") == f"recall@{k}"


def test_registered_objects_bring_their_own_words():
    assert modality_label("cxr") == "chest X-ray"
    assert objective_label("clip") == "CLIP"
    assert baseline_label("labs-boosting") == "labs, boosted trees"
    assert metric_label("expected_calibration_error") == "calibration error"
    assert missing_modality_label("complete") == "trains on complete admissions only"


def test_an_object_named_by_its_path_describes_itself_and_a_missing_one_is_its_name():
    path = "clinical_symile.models.missing_modality.complete:COMPLETE"
    assert missing_modality_label(path) == "trains on complete admissions only"
    assert missing_modality_label("no_such_package:WAY") == "no_such_package:WAY"
    assert objective_label("clinical_symile.objectives.symile:Symile") == "Symile"


def test_a_task_is_a_heading():
    retrieval = {"kind": "retrieval", "query": ["ecg", "labs"], "target": "cxr"}
    assert task_label("x/y", retrieval) == "Find the chest X-ray from ECG and labs"
    risk = {"kind": "classification", "inputs": ["ecg"], "outcome": "icu_stay"}
    assert task_label("x/y", risk) == "Predict icu stay from ECG"
