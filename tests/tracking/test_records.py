"""Reading records: what is not as it was written ends in one sentence, without its content."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from clinical_symile.errors import DataError
from clinical_symile.tracking.records import (
    UNREADABLE_ARRAY,
    Time,
    read_json,
    read_lines,
    read_parquet,
    read_text,
    read_toml_record,
    wrong_fields,
)

SURROGATE = rb'{"key": "\ud800"}'


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\xe4", b"[]", b"{", b"{}", b"\x00\x00", b"[" * 99999, b'{"key": 1}', SURROGATE),
        *(b'{"key": null}', b'{"key": ["Zanzibar"]}', b'{"key": ' + b"9" * 5000 + b"}"),
        *(b"\xff\xfe{\x00}\x00", b'{"key": "Zanzibar\x00"}', b'{"key": "Zanzibar" Zanzibar}'),
    ],
)
def test_json_that_is_not_as_expected_is_one_sentence_without_its_content(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.json: .*\. Do this\. \[CS-R020\]$") as caught:
        read_json(path, types={"key": str}, action="Do this.")
    assert len(caught.value.problems) == 1
    assert "Zanzibar" not in str(caught.value)


def test_a_json_value_that_may_be_none_may_be_missing_and_others_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"key": "text", "other": [1]}')
    types = {"key": str, "margin": float | None}
    found = read_json(path, types=types, action="Do this.")
    assert found == {"key": "text", "other": [1]}


def test_all_values_of_another_type_are_named_at_once() -> None:
    table = {"seed": "0", "runs": ["a", 1], "value": True, "count": 1.0, "rate": 1}
    types: dict[str, Any] = {"seed": int, "runs": list[str], "value": float, "count": int}
    types |= {"rate": float, "name": str}
    assert wrong_fields(table, types) == [
        *("seed is not int", "runs is not list[str]", "value is not float", "count is not int"),
        "has no name",
    ]


@pytest.mark.parametrize(
    "text",
    [
        *("yesterday", "", "2026-03-01T10:00:00+40:00", "2026-13-01", "0001-01-01T00:00:00+00:00"),
        *("0001-01-01", "1969-12-31T23:59:59+00:00", 1772359200),
    ],
)
def test_a_time_that_is_none_is_named(text: Any) -> None:
    types = {"started": Time | None, "finished": Time | None}
    assert wrong_fields({"started": text}, types) == ["started is not Time | None"]
    assert wrong_fields({"started": "2026-03-01T10:00:00+00:00"}, types) == []


@pytest.mark.parametrize("content", [b"a = ", b"a = \xe9", b"a = 1\x00", b"a = " + b"[" * 9999])
def test_toml_that_is_not_as_expected_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"run\.toml: .*\. Do this\."):
        read_toml_record(path, types={}, action="Do this.")


def test_only_a_line_break_ends_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('"a\u2028b"\n"c\x0bd"\n', encoding="utf-8")
    assert read_lines(path, action="") == ['"a\u2028b"', '"c\x0bd"']
    path.write_bytes(b"")
    assert read_lines(path, action="") == []


@pytest.mark.parametrize("content", [b"abc\xe9", b"abc\x00def"])
def test_text_that_is_not_utf_8_or_holds_zero_bytes_is_one_sentence(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "a.digest"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.digest: .*; expected text\. Do this\."):
        read_text(path, action="Do this.")


@pytest.mark.parametrize("content", [b"", b"abc", b"PAR1" + bytes(40) + b"PAR1"])
def test_a_damaged_parquet_file_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet: cannot be read as Parquet .*\. Do this\."):
        read_parquet(path, action="Do this.")
    pd.DataFrame({"a": [1]}).to_parquet(path)
    assert read_parquet(path, action="").to_dict("list") == {"a": [1]}
    path.unlink()
    with pytest.raises(DataError, match=r"a\.parquet: no such file\. Do this\."):
        read_parquet(path, action="Do this.")


HEADS = ("{'descr': (", "{", "(" * 9999, "{'descr': '<f4', 'shape': (9" + "9" * 30, "", "1", "é")


@pytest.mark.parametrize("text", HEADS)
@pytest.mark.parametrize("version", [1, 3])
def test_a_damaged_head_of_an_array_raises_one_of_the_errors_that_are_caught(
    tmp_path: Path, text: str, version: int
) -> None:
    """An open bracket makes NumPy raise an error of the tokenizer, which is no ValueError."""
    head = text.encode()
    length = len(head).to_bytes(2 if version == 1 else 4, "little")
    file = tmp_path / "a.npy"
    file.write_bytes(b"\x93NUMPY" + bytes([version, 0]) + length + head)
    with pytest.raises(UNREADABLE_ARRAY):
        np.load(file, mmap_mode="r", allow_pickle=False)
