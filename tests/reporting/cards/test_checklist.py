"""Checklists have the items of their publication, and say what is blank."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from clinical_symile.config.catalog import builtin_folder
from clinical_symile.errors import DefinitionError
from clinical_symile.reporting.cards import checklist as module
from clinical_symile.reporting.cards.answer import ANSWERED, AUTHORS, PARTLY, StudyRecords
from clinical_symile.reporting.cards.checklist import (
    CHECKLISTS,
    Checklist,
    ChecklistItem,
    checklist_document,
    fill,
    read_checklist,
    write_checklist,
)
from tests.helpers.card_records import card_data, full_cohort, in_groups

STUDY = StudyRecords.of(in_groups(card_data()))
# As published on 11 January 2024.
TRIPOD_AI = (
    "1 2 3a 3b 3c 4 5a 5b 6a 6b 6c 7 8a 8b 8c 9a 9b 9c 10 11 12a 12b 12c 12d 12e 12f 12g 13 14 15 "
    "16 17 18a 18b 18c 18d 18e 18f 19 20a 20b 20c 21 22 23a 23b 24 25 26 27a 27b 27c"
)
DEVELOPMENT_ONLY = "9a 12a 12b 12c 15 22 27a 27b"
EVALUATION_ONLY = "12f 12g 20c 24"


def test_the_items_have_the_numbers_of_the_publications():
    tripod, claim = map(read_checklist, CHECKLISTS)
    assert " ".join(item.number for item in tripod.items) == TRIPOD_AI
    only = {
        letter: " ".join(item.number for item in tripod.items if item.applies == letter)
        for letter in ("D", "E")
    }
    assert only == {"D": DEVELOPMENT_ONLY, "E": EVALUATION_ONLY}
    assert [item.number for item in claim.items] == [str(n) for n in range(1, 45)]
    assert all("doi:10." in one.source for one in (tripod, claim))


def test_every_answer_is_used_by_an_item():
    used = {item.answer for name in CHECKLISTS for item in read_checklist(name).items} - {""}
    assert used == set(module._ANSWERS)


def test_an_unknown_answer_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(module._ANSWERS, "ethics")
    with pytest.raises(DefinitionError, match="item 17: no function answers 'ethics'"):
        read_checklist("tripod_ai")


@pytest.mark.parametrize("name", CHECKLISTS)
def test_blank_and_half_answered_items_are_listed_at_the_end(name: str):
    checklist = read_checklist(name)
    filled = fill(checklist, STUDY)
    document = checklist_document(checklist, filled, STUDY)
    items, blank, half = document.parts
    numbers = {
        status: [one.item.number for one in filled if one.answer.status == status]
        for status in (ANSWERED, PARTLY, AUTHORS)
    }
    assert [text.partition(",")[0] for text in blank.items] == numbers[AUTHORS]
    assert [text.partition(":")[0] for text in half.items] == numbers[PARTLY]
    assert len(items.panels[0].body) == len(checklist.items)
    counts = [str(len(numbers[status])) for status in (ANSWERED, PARTLY, AUTHORS)]
    assert document.answers[0] == (
        f"Of {len(filled)} items the records answer {counts[0]}, answer {counts[1]} in part, and "
        f"leave {counts[2]} to the authors."
    )


def test_an_item_without_a_record_is_never_answered():
    made = Checklist(
        title="x", about="y", source="z", items=(ChecklistItem(number="1", section="s", asks="a"),)
    )
    (one,) = fill(made, STUDY)
    assert (one.answer.status, one.answer.text) == (AUTHORS, "")


def test_ethics_are_for_the_authors_unless_the_subjects_are_synthetic():
    checklist = read_checklist("tripod_ai")
    place = [item.number for item in checklist.items].index("17")
    assert fill(checklist, STUDY)[place].answer.status == AUTHORS
    cohort = full_cohort(access="open", generator={"parameters": {}})
    synthetic = StudyRecords.of(replace(STUDY.data, cohort=cohort))
    assert fill(checklist, synthetic)[place].answer.status == ANSWERED


@pytest.mark.parametrize("name", CHECKLISTS)
def test_page_markdown_and_table_say_the_same(name: str, tmp_path: Path):
    page, text, table = write_checklist(name, STUDY.data, out=tmp_path)
    frame = pd.read_csv(table, dtype=str, keep_default_na=False)
    assert [path.name for path in (page, text, table)] == [
        f"{name}{e}" for e in (".html", ".md", ".csv")
    ]
    assert frame["item"].tolist() == [item.number for item in read_checklist(name).items]
    assert set(frame["page"]) == {""}
    words = page.read_text(encoding="utf-8")
    assert words.count("for the authors</td>") == (frame["status"] == AUTHORS).sum()
    assert "our own words" in words


def test_the_requirements_are_short_and_in_our_own_words():
    for name in CHECKLISTS:
        text = (builtin_folder("reports/checklists") / f"{name}.toml").read_text(encoding="utf-8")
        assert "our own words" in text
        for item in read_checklist(name).items:
            assert 10 < len(item.asks) < 130, item.number
