"""Answers say what the records hold, and never more."""

from dataclasses import replace

import pytest

from clinical_symile.reporting.cards.answer import ANSWERED, AUTHORS, PARTLY, StudyRecords
from clinical_symile.reporting.cards.data_answers import DATA_ANSWERS
from clinical_symile.reporting.cards.model_answers import MODEL_ANSWERS
from clinical_symile.reporting.cards.result_answers import RESULT_ANSWERS
from clinical_symile.reporting.report_data import ReportData
from tests.helpers.card_records import card_data, in_groups
from tests.helpers.report_data import FIRST

FULL = in_groups(card_data())
THEIRS = [replace(row, run="theirs") for row in FULL.results if row.run == "symile-0"]
BARE = ReportData(results=THEIRS, tasks=FULL.tasks)
RETRIEVAL = replace(
    card_data(),
    tasks={FIRST: FULL.tasks[FIRST]},
    results=[row for row in FULL.results if row.task == FIRST],
)
ANSWERS = {**DATA_ANSWERS, **MODEL_ANSWERS, **RESULT_ANSWERS}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("data", [FULL, BARE, RETRIEVAL], ids=["full", "bare", "retrieval"])
def test_every_answer_has_a_status_and_says_what_is_left(name: str, data: ReportData):
    answer = ANSWERS[name](StudyRecords.of(data))
    assert answer.status in (ANSWERED, PARTLY, AUTHORS)
    assert (" Authors: " in answer.text) == (answer.status == PARTLY)
    assert bool(answer.record) == (answer.status != AUTHORS)
    assert ".." not in answer.text
    assert "None" not in answer.text.replace("None:", "")


@pytest.mark.parametrize("name", [*DATA_ANSWERS])
def test_without_a_store_nothing_is_said_of_its_people(name: str):
    answer = DATA_ANSWERS[name](StudyRecords.of(BARE))
    assert "2400" not in answer.text
    if name not in ("disjoint", "subsets", "outcome"):
        assert answer.status == AUTHORS


def test_methods_with_the_same_words_are_named_together():
    study = StudyRecords.of(FULL)
    assert study.of_each(lambda method: "The same.") == "The same"
    assert study.of_each(lambda method: method.label) == "Symile: Symile; CLIP: CLIP"
