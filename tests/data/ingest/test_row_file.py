"""Rows in a file, a batch in memory at a time; and what came of them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from clinical_symile.data.ingest.row_file import RowFile, write_row_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Rows 0 to 9 in batches of 4, 4 and 2."""
    table = pa.table({"n": list(range(10)), "row": [{"text": str(n)} for n in range(10)]})
    write_row_file(table.to_reader(max_chunksize=4), tmp_path / "rows.arrow")
    return tmp_path / "rows.arrow"


def test_a_part_may_span_batches_and_ends_with_the_last_row(file: Path) -> None:
    rows = RowFile(file)
    assert len(rows) == 10
    for first in range(10):
        for count in range(1, 12):
            expected = list(range(first, min(first + count, 10)))
            assert [row["n"] for row in rows.part(first, count)] == expected
    assert rows.part(3, 1) == [{"n": 3, "row": {"text": "3"}}]


def test_rows_from_here_and_there_come_in_the_order_asked_for(file: Path) -> None:
    places = np.array([9, 0, 5, 4])
    assert [row["n"] for row in RowFile(file).some(places)] == places.tolist()


def test_batches_say_where_they_begin_and_are_all(file: Path) -> None:
    rows = RowFile(file)
    assert [(first, len(batch)) for first, batch in rows.batches()] == [(0, 4), (4, 4), (8, 2)]
    assert rows.table()["n"].to_pylist() == list(range(10))


def test_a_file_without_rows_has_a_schema(tmp_path: Path) -> None:
    write_row_file(pa.table({"n": pa.array([], pa.int64())}).to_reader(), tmp_path / "none.arrow")
    rows = RowFile(tmp_path / "none.arrow")
    assert (len(rows), rows.schema.names, rows.part(0, 5)) == (0, ["n"], [])
