"""A document is written as a page and as Markdown that says the same."""

import json
from pathlib import Path

from clinical_symile.reporting.cards.document import Document, Part, markdown, write_document
from clinical_symile.reporting.sections.base import ReportPanel

PANEL = ReportPanel("Sizes", None, ["split", "a | b", "empty"], [["train", "<10", ""]])
DOCUMENT = Document(
    title="A card",
    about="Of *nothing*.",
    answers=["One sentence."],
    facts=[("cohort", "a_b")],
    parts=[Part(heading="Numbers", text=["See [here]."], items=["x"], panels=[PANEL])],
    footer=["The end."],
    metadata={"library_name": 'a "b": c', "tags": ["x", "y"]},
)


def test_markdown_has_every_part_and_no_sign_that_is_read_as_markup():
    text = markdown(DOCUMENT)
    assert "# A card\n\nOf \\*nothing\\*.\n\n- One sentence.\n\n- **cohort**: a\\_b" in text
    assert "## Numbers\n\nSee \\[here\\].\n\n- x\n\n**Sizes**\n\n" in text
    assert "| split | a \\| b |\n| --- | --- |\n| train | &lt;10 |" in text
    assert text.endswith("---\n\nThe end.\n")


def test_the_header_is_yaml_that_no_text_can_break():
    header = markdown(DOCUMENT).split("---\n")[1]
    pairs = dict(line.split(": ", 1) for line in header.splitlines())
    assert {key: json.loads(value) for key, value in pairs.items()} == DOCUMENT.metadata
    assert not markdown(Document(title="x", about="y")).startswith("---")


def test_the_page_loads_nothing_and_escapes_what_it_shows(tmp_path: Path):
    page, beside = write_document(DOCUMENT, out=tmp_path / "card.html")
    text = page.read_text(encoding="utf-8")
    assert beside == tmp_path / "card.md"
    assert "&lt;10" in text
    assert "Content-Security-Policy" in text
    assert "http" not in text.replace("http-equiv", "")
    assert 'href="#section-1"' in text
    assert 'id="section-1"' in text
