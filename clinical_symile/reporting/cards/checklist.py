"""Fill a reporting checklist from records, and write it as HTML, Markdown and CSV."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from clinical_symile import __version__
from clinical_symile.config.catalog import builtin_folder, read_toml
from clinical_symile.config.definition import read_definition
from clinical_symile.errors import DefinitionError
from clinical_symile.formatting import DASH
from clinical_symile.registry.names import path_in
from clinical_symile.reporting.cards.answer import (
    ANSWERED,
    AUTHORS,
    PARTLY,
    Answer,
    AnswerFunction,
    StudyRecords,
    for_authors,
)
from clinical_symile.reporting.cards.data_answers import DATA_ANSWERS
from clinical_symile.reporting.cards.document import Document, Part, write_document
from clinical_symile.reporting.cards.model_answers import MODEL_ANSWERS
from clinical_symile.reporting.cards.result_answers import RESULT_ANSWERS
from clinical_symile.reporting.csv_file import write_csv
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.sections.base import ReportPanel

CHECKLISTS = ("tripod_ai", "claim")

_ANSWERS: dict[str, AnswerFunction] = {**DATA_ANSWERS, **MODEL_ANSWERS, **RESULT_ANSWERS}
_APPLIES = {"D": "development only", "E": "evaluation only"}
_MARKS = {ANSWERED: "●", PARTLY: "◐", AUTHORS: "○"}


class ChecklistItem(BaseModel):
    """One item of a checklist.

    Attributes:
        number: as published.
        section: of the checklist.
        asks: the requirement, in our own words.
        applies: `D` for the development of a model, `E` for its evaluation, `D;E` for both.
        answer: names the function that fills the item from records; empty for the authors.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: str
    section: str
    asks: str
    applies: str = ""
    answer: str = ""


class Checklist(BaseModel):
    """A checklist.

    Attributes:
        title: its name.
        about: the studies that it is for, in one sentence.
        source: the publication.
        items: in the order of the publication.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    about: str
    source: str
    items: tuple[ChecklistItem, ...] = Field(min_length=1)


@dataclass(frozen=True)
class AnsweredItem:
    """An item with its answer."""

    item: ChecklistItem
    answer: Answer


def read_checklist(name: str) -> Checklist:
    """Read a checklist that comes with the package.

    Args:
        name: of `CHECKLISTS`.

    Raises:
        DefinitionError: its file has a problem, or names an unknown answer.
    """
    path = path_in(builtin_folder("reports/checklists"), name, suffix=".toml")
    made = read_definition(Checklist, read_toml(path), where=str(path))
    unknown = [one for one in made.items if one.answer and one.answer not in _ANSWERS]
    if unknown:
        raise DefinitionError(
            *(f"{path}: item {one.number}: no function answers '{one.answer}'." for one in unknown),
            code="CS-F003",
        )
    return made


def fill(checklist: Checklist, study: StudyRecords) -> list[AnsweredItem]:
    """Answer every item from records; what they do not say stays for the authors."""
    return [
        AnsweredItem(item, _ANSWERS[item.answer](study) if item.answer else for_authors())
        for item in checklist.items
    ]


def write_checklist(name: str, data: ReportData, *, out: Path) -> list[Path]:
    """Fill a checklist and write it into a folder.

    Args:
        name: of `CHECKLISTS`.
        data: the records.
        out: the folder of `<name>.html`, `<name>.md` and `<name>.csv`.

    Returns:
        The files.
    """
    checklist, study = read_checklist(name), StudyRecords.of(data)
    answered = fill(checklist, study)
    document = checklist_document(checklist, answered, study)
    written = write_document(document, out=path_in(out, name, suffix=".html"))
    frame = pd.DataFrame(
        [
            {
                "item": one.item.number,
                "section": one.item.section,
                "applies": one.item.applies,
                "asks": one.item.asks,
                "status": one.answer.status,
                "answer": one.answer.text,
                "record": one.answer.record,
                "page": "",
            }
            for one in answered
        ]
    )
    table = path_in(out, name, suffix=".csv")
    write_csv(frame, table)
    return [*written, table]


def checklist_document(
    checklist: Checklist, answered: Sequence[AnsweredItem], study: StudyRecords
) -> Document:
    """Return an answered checklist as a document: counts, items by section, blank items.

    Args:
        checklist: the checklist.
        answered: its answers.
        study: what they were answered from.
    """
    counts = {status: sum(one.answer.status == status for one in answered) for status in _MARKS}
    blank = [one for one in answered if one.answer.status == AUTHORS]
    half = [one for one in answered if one.answer.status == PARTLY]
    methods = ", ".join(method.label for method in study.methods) or "none"
    return Document(
        title=checklist.title,
        about=checklist.about,
        answers=[
            f"Of {len(answered)} items the records answer {counts[ANSWERED]}, answer "
            f"{counts[PARTLY]} in part, and leave {counts[AUTHORS]} to the authors.",
            "Check every answer against your manuscript, and add the page of each item.",
        ],
        facts=[
            ("Models", methods),
            ("Cohort", str(study.cohort.get("title", "")) or ", ".join(study.cohorts)),
            ("Source", checklist.source),
        ],
        parts=[
            Part(heading="The items", panels=[_items(answered)]),
            Part(
                heading="Left to the authors",
                text=["The records do not say these. Write them yourself."],
                items=[_blank(one) for one in blank],
            ),
            Part(
                heading="To complete",
                text=["The records answer these in part."],
                items=[
                    f"{one.item.number}: {one.answer.text.rpartition('Authors: ')[2]}"
                    for one in half
                ],
            ),
        ],
        footer=[
            f"Filled from records alone by clinical-symile {__version__}. The requirements are in "
            "our own words; read the source for the published ones, and submit the form that the "
            "journal asks for.",
        ],
    )


def _items(answered: Sequence[AnsweredItem]) -> ReportPanel:
    """Return the table of all items."""
    head = ["item", "section", "asks for", "status", "answer from the records", "recorded in"]
    body = []
    for one in answered:
        only = _APPLIES.get(one.item.applies, "")
        asks = f"{one.item.asks} ({only})" if only else one.item.asks
        mark = f"{_MARKS[one.answer.status]} {one.answer.status}"
        words = [one.answer.text or DASH, one.answer.record or DASH]
        body.append([one.item.number, one.item.section, asks, mark, *words])
    return ReportPanel("", None, head, body)


def _blank(one: AnsweredItem) -> str:
    reason = f" {one.answer.text}" if one.answer.text else ""
    return f"{one.item.number}, {one.item.section}: {one.item.asks}{reason}"
