"""The journal of verdicts survives an interruption."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from clinical_symile.data.ingest.journal import Journal
from clinical_symile.data.ingest.row_file import write_row_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Rows 0 to 9 in batches of 4, 4 and 2."""
    table = pa.table({"n": list(range(10)), "row": [{"text": str(n)} for n in range(10)]})
    write_row_file(table.to_reader(max_chunksize=4), tmp_path / "rows.arrow")
    return tmp_path / "rows.arrow"


def test_verdicts_come_in_the_order_of_samples_however_they_were_noted(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    file.touch()
    journal = Journal(file)
    for first in (64, 0, 32):
        journal.add({"first": first, "chosen": [first]})
    for again in (journal, Journal(file)):
        assert [verdict["first"] for verdict in again.verdicts()] == [0, 32, 64]


def test_a_line_that_was_cut_off_is_removed_and_the_next_follows(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    file.touch()
    for first in (32, 0):
        Journal(file).add({"first": first})
    whole = file.read_text()
    file.write_text(whole + '{"digest": "6')
    journal = Journal(file)
    assert file.read_text() == whole
    journal.add({"first": 64})
    assert [verdict["first"] for verdict in Journal(file).verdicts()] == [0, 32, 64]


def test_a_damaged_line_is_passed_over_and_others_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    file.touch()
    for first in (0, 32, 64):
        Journal(file).add({"first": first, "candidate": [[0], [1]]})
    lines = file.read_bytes().splitlines(keepends=True)
    for damaged in (
        lines[1].replace(b"[1]", b"[0]"),
        lines[1].replace(b'"verdict"', b'"verdicd"'),
        b"[3]\n",
        b"\xff\n",
        b"[" * 100_000 + b"\n",
        json.dumps({"first": 32, "candidate": [[0], [1]]}).encode() + b"\n",
    ):
        file.write_bytes(lines[0] + damaged + lines[2])
        journal = Journal(file)
        assert [verdict["first"] for verdict in journal.verdicts()] == [0, 64]
        journal.add({"first": 32, "candidate": [[0], [1]]})
        assert [verdict["first"] for verdict in Journal(file).verdicts()] == [0, 32, 64]
