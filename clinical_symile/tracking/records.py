"""Read the JSON, TOML, text and Parquet files of stores, runs and benchmarks as they were written.

A file that is not UTF-8, is cut, or holds values of other types ends in one sentence that says
what to do.
"""

import json
import re
import tokenize
import tomllib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_symile.errors import DataError, Problem

if TYPE_CHECKING:
    import pandas as pd
    from pydantic import GetCoreSchemaHandler, TypeAdapter
    from pydantic_core import CoreSchema

RECORD = "CS-R020"
# What parsers of text raise: for bytes that are no UTF-8, for other text, for nested brackets.
_UNREADABLE = (ValueError, RecursionError)
_ESCAPED = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")
_SURROGATE = re.compile("[\ud800-\udfff]")
# What readers of Parquet raise for a damaged file; pandas raises the last three for its own notes.
UNREADABLE_TABLE = (
    *(ValueError, OSError, EOFError, NotImplementedError),
    *(LookupError, TypeError, AttributeError),
)

# What NumPy raises for a damaged array: the head of the file is parsed as Python.
UNREADABLE_ARRAY = (
    *(ValueError, EOFError, OverflowError, TypeError, SyntaxError, RecursionError),
    tokenize.TokenError,
)


class Time(str):
    """The type of a text that is a time since 1970 in ISO 8601; see `wrong_fields`."""

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: "GetCoreSchemaHandler"
    ) -> "CoreSchema":
        from pydantic_core import core_schema

        del source
        return core_schema.no_info_after_validator_function(_check_time, handler(str))


def _check_time(text: str) -> str:
    try:
        is_possible = datetime.fromisoformat(text).timestamp() >= 0
    except OverflowError:
        is_possible = False
    if not is_possible:
        raise ValueError("is before 1970, or later than any time")
    return text


def read_text(path: Path, *, action: str, code: str = RECORD) -> str:
    """Read a text file in UTF-8.

    Args:
        path: the file.
        action: what to do if it cannot be read, as a sentence.
        code: the code of the error.

    Raises:
        DataError: it is not UTF-8, or holds a zero byte.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _unreadable(
            f"{path}: byte {error.start} is not UTF-8; expected text. {action}", code
        ) from None
    if "\0" in text:
        raise _unreadable(f"{path}: holds a zero byte; expected text. {action}", code)
    return text


def read_lines(path: Path, *, action: str, code: str = RECORD) -> list[str]:
    """Read the lines of a text file in UTF-8; see `read_text`.

    Only a line break ends a line: JSON may hold the other signs that `str.splitlines` ends one at.
    """
    lines = read_text(path, action=action, code=code).split("\n")
    return lines if lines[-1] else lines[:-1]


def read_json(
    path: Path, *, types: Mapping[str, Any], action: str, code: str = RECORD
) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Args:
        path: the file.
        types: the type of each value that is read later, as an annotation; a value whose type
            admits None may be missing.
        action: what to do if it cannot be read, as a sentence.
        code: the code of the error.

    Raises:
        DataError: it is no such file.
    """
    return _checked(path, _parsed(path, parse_json, "JSON", action, code), types, action, code)


def read_json_lines(path: Path, *, action: str, code: str = RECORD) -> list[dict[str, Any]]:
    """Read a file with one JSON object per line.

    Args:
        path: the file.
        action: what to do if it cannot be read, as a sentence.
        code: the code of the error.

    Raises:
        DataError: a line is no such object.
    """
    found: list[dict[str, Any]] = []
    for number, line in enumerate(read_lines(path, action=action, code=code), start=1):
        try:
            row = parse_json(line)
        except _UNREADABLE:
            row = None
        if not isinstance(row, dict):
            raise _unreadable(
                f"{path}, line {number}: not an object in JSON; expected one. {action}", code
            )
        found.append(row)
    return found


def read_toml_record(
    path: Path, *, types: Mapping[str, Any], action: str, code: str = RECORD
) -> dict[str, Any]:
    """Read a TOML file; see `read_json`."""
    return _checked(path, _parsed(path, tomllib.loads, "TOML", action, code), types, action, code)


def parse_json(text: str) -> Any:
    """Parse JSON that this package wrote.

    Raises:
        ValueError: it is no JSON, or holds text that no UTF-8 file can hold, or a zero byte.
        RecursionError: it is nested too deeply.
    """
    found = json.loads(text)
    if _ESCAPED.search(text):  # most files have none
        _check_text(found)
    return found


def _check_text(value: Any) -> None:
    """Refuse half a surrogate pair and zero bytes, which JSON can state by their number."""
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("a text holds a zero byte")
        if _SURROGATE.search(value):
            raise ValueError("a text cannot be written in UTF-8")
    elif isinstance(value, dict):
        for key, entry in value.items():
            _check_text(key)
            _check_text(entry)
    elif isinstance(value, list):
        for entry in value:
            _check_text(entry)


def read_parquet(path: Path, *, action: str, code: str = RECORD) -> "pd.DataFrame":
    """Read a Parquet file.

    Args:
        path: the file.
        action: what to do if it cannot be read, as a sentence.
        code: the code of the error.

    Raises:
        DataError: it is damaged.
    """
    import pandas as pd  # takes longer to import than a small command runs

    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise _unreadable(f"{path}: no such file. {action}", code) from None
    except UNREADABLE_TABLE as error:
        if isinstance(error, PermissionError):
            raise
        raise _unreadable(
            f"{path}: cannot be read as Parquet ({type(error).__name__}). {action}", code
        ) from None


def wrong_fields(table: Mapping[str, Any], types: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the values of an object, such as `seed is not int`.

    Args:
        table: the object.
        types: the type of each value that is checked, as an annotation; a value whose type admits
            None may be missing.
    """
    from pydantic import ValidationError

    problems = []
    for name, kind in types.items():
        try:
            _adapter(kind).validate_python(table.get(name), strict=True)
        except ValidationError:
            is_there = name in table
            problems.append(f"{name} is not {_words(kind)}" if is_there else f"has no {name}")
    return problems


@cache
def _adapter(kind: Any) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _words(kind: Any) -> str:
    """Return a type as it is written in the code, such as `list[str]` or `float | None`."""
    text = kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)
    return re.sub(rf"(typing|collections\.abc|{re.escape(__name__)})\.", "", text)


def _unreadable(sentence: str, code: str) -> DataError:
    return DataError(Problem(sentence, code), code="CS-R020")


def _parsed(path: Path, parse: Any, form: str, action: str, code: str) -> dict[str, Any]:
    text = read_text(path, action=action, code=code)
    try:
        table = parse(text)
    except _UNREADABLE as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise _unreadable(f"{path}: not valid {form}: {what}. {action}", code) from None
    if not isinstance(table, dict):
        raise _unreadable(
            f"{path}: holds a {type(table).__name__}; expected an object. {action}", code
        )
    return table


def _checked(
    path: Path, table: dict[str, Any], types: Mapping[str, Any], action: str, code: str
) -> dict[str, Any]:
    problems = wrong_fields(table, types)
    if problems:
        raise _unreadable(f"{path}: {'; '.join(problems)}. {action}", code)
    return table
