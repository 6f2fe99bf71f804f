"""Every reason and every note stands in `docs/reference/recordings.md`, and nothing else does."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    *(ROOT / "clinical_symile/modalities").rglob("*.py"),
    ROOT / "clinical_symile/data/ingest/decode.py",
]
TABLES = ("labs", "lab_events")


def spoken(call: str) -> set[str]:
    """The words that the sources hand to a function as its first argument."""
    until = "[^,)]" if call == "note" else "[^,]"  # a note has one argument
    return {
        word
        for source in SOURCES
        for arguments in re.findall(rf"\b{call}\(\s*(\"{until}*)", source.read_text())
        for word in re.findall(r'"([a-z-]+)"', arguments)
    }


def notes_of_files() -> set[str]:
    """The words that a reader of files returns as notes."""
    texts = [source.read_text() for source in SOURCES if source.parent.name == "waveform_files"]
    pattern = r'(?:notes=|return )\("([a-z-]+)",\)'
    return {word for text in texts for word in re.findall(pattern, text)}


def notes_of_tables() -> set[str]:
    """The words that readers of a table's cells collect as notes."""
    texts = [(ROOT / f"clinical_symile/modalities/{name}.py").read_text() for name in TABLES]
    return {word for text in texts for word in re.findall(r'notes\["([a-z-]+)"\]', text)}


def told(heading: str) -> set[str]:
    """The words in the first column of a section's table."""
    text = (ROOT / "docs/reference/recordings.md").read_text()
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {word for cell in cells for word in re.findall(r"`([a-z-]+)`", cell)}


def test_every_reason_of_refusal_is_told() -> None:
    reasons = spoken("Rejected") | {"truncated", "process-died"}  # told without a call
    assert {"file-missing", "flat", "all-zero"} <= reasons
    assert told("Reasons of rejection") == reasons


def test_every_note_is_told() -> None:
    notes = spoken("note") | notes_of_files() | notes_of_tables()
    assert {"cropped", "inverted"} <= notes
    assert told("Notes") == notes
