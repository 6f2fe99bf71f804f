"""Hold a card or a checklist as parts of text and tables, and write it as HTML and Markdown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clinical_symile.config.catalog import builtin_folder
from clinical_symile.files import write_text
from clinical_symile.reporting.figures.picture import Legend
from clinical_symile.reporting.render import render_page
from clinical_symile.reporting.sections.base import ReportPanel

Facts = Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One section of a document.

    Attributes:
        heading: of the section.
        text: paragraphs.
        facts: terms and what is known of them.
        items: a list of sentences.
        panels: tables; a figure of a panel is drawn in HTML alone.
        caption: the paragraph below the tables.
        is_folded: True if the tables are collapsed in HTML until they are opened.
    """

    heading: str
    text: Sequence[str] = ()
    facts: Facts = ()
    items: Sequence[str] = ()
    panels: Sequence[ReportPanel] = ()
    caption: str = ""
    is_folded: bool = False


@dataclass(frozen=True, kw_only=True)
class Document:
    """A card or a checklist.

    Attributes:
        title: heading of the page.
        about: one sentence below it.
        answers: the sentences of the first screen.
        facts: terms of the first screen.
        figure: the figure of the first screen; None without one.
        legend: of the figure.
        parts: the sections.
        footer: sentences at the end.
        metadata: the header of the Markdown file; empty for none.
    """

    title: str
    about: str
    answers: Sequence[str] = ()
    facts: Facts = ()
    figure: ReportPanel | None = None
    legend: Legend | None = None
    parts: Sequence[Part] = ()
    footer: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


def write_document(document: Document, *, out: Path) -> list[Path]:
    """Write a document as a page that loads nothing else, and as Markdown beside it.

    Args:
        document: the document.
        out: the HTML file; the Markdown file has the same name and ends in `.md`.

    Returns:
        Both files.
    """
    template = builtin_folder("reports/shared") / "document.j2"
    render_page(template, context={"document": document}, out=out)
    beside = out.with_suffix(".md")
    write_text(beside, markdown(document))
    return [out, beside]


def markdown(document: Document) -> str:
    """Return a document as Markdown, with its metadata as a YAML header."""
    blocks = [f"# {_escape(document.title)}", _escape(document.about)]
    blocks += [_list(document.answers)] * bool(document.answers)
    blocks += [_facts(document.facts)] * bool(document.facts)
    if document.figure is not None:
        blocks += [f"**{_escape(document.figure.title)}**", _table(document.figure)]
    for part in document.parts:
        blocks.append(f"## {_escape(part.heading)}")
        blocks += [_escape(text) for text in part.text]
        blocks += [_facts(part.facts)] * bool(part.facts)
        blocks += [_list(part.items)] * bool(part.items)
        for panel in part.panels:
            blocks += [f"**{_escape(panel.title)}**"] * bool(panel.title)
            blocks.append(_table(panel))
        blocks += [_escape(part.caption)] * bool(part.caption)
    if document.footer:
        blocks += ["---", *(_escape(sentence) for sentence in document.footer)]
    return _header(document.metadata) + "\n\n".join(blocks) + "\n"


def _header(metadata: Mapping[str, Any]) -> str:
    """Return the YAML header: JSON is YAML as well, so that no text can break it."""
    if not metadata:
        return ""
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in metadata.items()]
    return "\n".join(["---", *lines, "---", "", ""])


def _escape(text: object) -> str:
    """Return a text without signs that Markdown or HTML would read as markup."""
    words = str(text).replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;")
    for sign in "`*_[]|#":
        words = words.replace(sign, f"\\{sign}")
    return " ".join(words.split("\n"))


def _list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {_escape(sentence)}" for sentence in sentences)


def _facts(facts: Facts) -> str:
    return "\n".join(f"- **{_escape(term)}**: {_escape(words)}" for term, words in facts)


def _table(panel: ReportPanel) -> str:
    head, *body = panel.table
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(
        "| " + " | ".join(cell if cell == "---" else _escape(cell) for cell in line) + " |"
        for line in lines
    )
