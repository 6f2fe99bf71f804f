"""Answers on results repeat the numbers of the records."""

from dataclasses import replace

from clinical_symile.reporting.cards.answer import ANSWERED, AUTHORS, PARTLY, StudyRecords
from clinical_symile.reporting.cards.result_answers import RESULT_ANSWERS
from tests.helpers.card_records import card_data, in_groups

DATA = card_data()


def test_performance_is_answered_where_groups_are_recorded():
    half = RESULT_ANSWERS["performance"](StudyRecords.of(DATA))
    whole = RESULT_ANSWERS["performance"](StudyRecords.of(in_groups(DATA)))
    assert (half.status, whole.status) == (PARTLY, ANSWERED)
    text = whole.text.replace("\N{NO-BREAK SPACE}", " ")
    assert "recall@1: Symile 71.0 % (68.0 to 74.0 %); CLIP 36.0 %" in text
    assert "In groups by sex" in text


def test_external_testing_is_answered_only_where_it_was_done():
    answer = RESULT_ANSWERS["external"](StudyRecords.of(DATA))
    assert answer.status == AUTHORS
    assert "no external evaluation" in answer.text
    moved = replace(DATA, results=[replace(row, cohort="other") for row in DATA.results])
    assert RESULT_ANSWERS["external"](StudyRecords.of(moved)).text.startswith(
        "Symile and CLIP on other."
    )


def test_clusters_are_subgroups_of_hospitals_alone():
    data = in_groups(DATA)
    assert RESULT_ANSWERS["clusters"](StudyRecords.of(data)).status == AUTHORS
    rows = [replace(row, subgroup="hospital") for row in data.analysis.subgroups]
    sites = replace(data, analysis=replace(data.analysis, subgroups=rows))
    assert "Performance by hospital" in RESULT_ANSWERS["clusters"](StudyRecords.of(sites)).text


def test_updating_is_the_recalibration_that_was_computed():
    assert RESULT_ANSWERS["updating"](StudyRecords.of(DATA)).status == AUTHORS
    row = replace(DATA.analysis.measures[0], measure="recalibrated/slope", missingness="complete")
    data = replace(DATA, analysis=replace(DATA.analysis, measures=[row]))
    text = RESULT_ANSWERS["updated_results"](StudyRecords.of(data)).text
    assert text == "Symile, deterioration: slope after recalibration 0.40 (0.30 to 0.50)."


def test_robustness_names_the_patterns_that_were_evaluated():
    text = RESULT_ANSWERS["robustness"](StudyRecords.of(DATA)).text
    assert text.startswith("Missing modalities: without ECG, without labs")
    assert text.endswith("Seeds per method: 1.")
