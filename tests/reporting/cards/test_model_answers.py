"""Answers on the model come from the run's definition."""

from dataclasses import replace

from clinical_symile.reporting.cards.answer import ANSWERED, AUTHORS, PARTLY, StudyRecords
from clinical_symile.reporting.cards.model_answers import MODEL_ANSWERS
from tests.helpers.card_records import card_data

DATA = card_data(seeds=(0, 1))


def test_architecture_training_and_selection_are_answered():
    study = StudyRecords.of(DATA)
    text = MODEL_ANSWERS["architecture"](study).text
    assert text.startswith("Inputs: chest X-ray, ECG and labs. Encoder of chest X-ray: small_cnn")
    assert text.endswith("Output: a vector of 16 numbers per modality.")
    assert "Epochs: 3; batch: 64 samples, shuffled" in MODEL_ANSWERS["training"](study).text
    assert "best mean_reciprocal_rank" in MODEL_ANSWERS["selection"](study).text
    assert MODEL_ANSWERS["initialization"](study).text.endswith("Seeds: 0 and 1.")
    assert MODEL_ANSWERS["software"](study).text == "python 3.11.7, torch 2.15.0."


def test_splits_of_one_cohort_do_not_say_how_they_were_drawn():
    answer = MODEL_ANSWERS["differences"](StudyRecords.of(DATA))
    assert answer.status == PARTLY
    assert "say whether the splits are of other hospitals or periods" in answer.text
    elsewhere = replace(DATA, results=[replace(row, cohort="other") for row in DATA.results])
    text = MODEL_ANSWERS["differences"](StudyRecords.of(elsewhere)).text
    assert "Symile and CLIP: trained on another cohort than other." in text


def test_nothing_is_answered_of_how_an_external_model_was_made():
    study = StudyRecords.of(DATA)
    external = replace(study, methods=[replace(one, records=[]) for one in study.methods])
    assert not external.trained
    of_the_suite = {"title", "objectives", "software", "imbalance", "output", "code_sharing"}
    of_the_suite |= {"availability", "protocol"}
    for name in MODEL_ANSWERS.keys() - of_the_suite:
        assert MODEL_ANSWERS[name](external).status == AUTHORS, name


def test_missing_data_are_answered_by_the_way_of_each_method():
    answer = MODEL_ANSWERS["missing_data"](StudyRecords.of(DATA))
    assert answer.status == ANSWERED
    assert "(drop). In training: as recorded." in answer.text


def test_of_trained_and_external_models_the_external_ones_are_left_to_the_authors():
    study = StudyRecords.of(DATA)
    first, *others = study.methods
    mixed = replace(study, methods=[first, *(replace(one, records=[]) for one in others)])
    answer = MODEL_ANSWERS["ensembles"](mixed)
    assert answer.status == PARTLY
    assert answer.text.startswith("Of the models trained here: None: each run is one model")
    assert f"say it of {others[0].label} too: external" in answer.text
    building = MODEL_ANSWERS["model_building"](mixed)
    assert building.status == PARTLY
    assert building.text.endswith(
        f"Also say it of {others[0].label} too: external, so that records do not."
    )
    assert MODEL_ANSWERS["ensembles"](study).status == ANSWERED
