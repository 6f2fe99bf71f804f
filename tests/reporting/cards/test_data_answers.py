"""Answers on the data have the counts of the manifest, withheld as elsewhere."""

from dataclasses import replace

from clinical_symile.reporting.cards.answer import PARTLY, StudyRecords
from clinical_symile.reporting.cards.data_answers import DATA_ANSWERS
from clinical_symile.tracking.results import Comparison
from tests.helpers.card_records import card_data
from tests.reporting.test_results import COMPARISON

STUDY = StudyRecords.of(card_data())


def said(name: str) -> str:
    text = DATA_ANSWERS[name](STUDY).text
    return text.replace("\N{NARROW NO-BREAK SPACE}", "").replace("\N{NO-BREAK SPACE}", " ")


def test_the_flow_has_the_splits_and_the_events_and_no_small_count():
    text = said("flow")
    assert "at least 4040 rows" in text
    assert "<10 no modality and 41 no split" in text
    assert "4000 samples: 2400 training, 600 tuning, 1000 held out" in text
    assert "With deterioration: 120 of 400 (30 %) in training" in text


def test_the_sizes_have_the_subjects_of_each_split():
    assert said("partitions").startswith("3000 subjects: 1800 to train, 450 to select")
    assert said("numbers").startswith("training: 2400 samples of 1800 subjects; tuning: 600")


def test_predictors_are_named_with_their_units():
    assert said("predictor_definitions").startswith(
        "chest X-ray in grey level; ECG in uV: I, II; labs: sodium (mmol/L), urea nitrogen (mg/dL)."
    )


def test_the_outcome_leaves_its_definition_to_the_authors():
    answer = DATA_ANSWERS["outcome"](STUDY)
    assert answer.status == PARTLY
    assert answer.text.endswith("how, when and by whom it was determined.")


def test_detectable_differences_have_the_unit_of_their_metric():
    def compared(metric: str, detectable: float) -> Comparison:
        changes = {"metric": metric, "missingness": "complete", "detectable": detectable}
        return replace(COMPARISON, **changes)

    rows = [compared("recall_at_1", 0.05), compared("recall_at_1", 0.081), compared("auroc", 0.04)]
    study = replace(STUDY, data=replace(STUDY.data, comparisons=rows))
    text = DATA_ANSWERS["sample_size"](study).text
    assert "5.0 to 8.1 points of recall@1 and 0.040 of AUROC" in text
