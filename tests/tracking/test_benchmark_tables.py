"""The rows of a benchmark's tables survive the way through their files."""

from dataclasses import asdict, fields
from pathlib import Path

import pytest

from clinical_symile.errors import DataError
from clinical_symile.tracking.benchmark_tables import (
    MaskAuroc,
    MethodRank,
    Robustness,
    SeedComponents,
)
from clinical_symile.tracking.results import read_rows, write_rows

VALUES = {"str": "a", "float": 0.5, "int": 3, "str | None": None, "float | None": None}
KINDS = (MaskAuroc, SeedComponents, MethodRank, Robustness)


def _row(kind: type):
    made = {field.name: VALUES.get(str(field.type), ["a"]) for field in fields(kind)}
    plain = {"float": 0.5, "int": 3, "str": "a"}
    for field in fields(kind):
        if isinstance(field.type, type) and field.type.__name__ in plain:
            made[field.name] = plain[field.type.__name__]
    return kind(**made)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_read_as_it_was_written(kind: type, tmp_path: Path):
    row = _row(kind)
    write_rows(tmp_path / "table.jsonl", [row, row])
    assert read_rows(tmp_path / "table.jsonl", kind) == [row, row]


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_that_lacks_a_field_is_refused(kind: type, tmp_path: Path):
    import json

    table = asdict(_row(kind))
    del table["cohort"]
    (tmp_path / "table.jsonl").write_text(json.dumps(table) + "\n")
    with pytest.raises(DataError, match="cohort"):
        read_rows(tmp_path / "table.jsonl", kind)
