"""Quote values and names for SQL."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_SPECIAL = re.compile(r"([*?\[\\])")


def sql_literal(value: Any) -> str:
    """Quote a value as an SQL string."""
    escaped = str(value).replace("'", "''")
    return f"'{escaped}'"


def sql_identifier(name: str) -> str:
    """Quote a name as an SQL identifier."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def sql_files(paths: Iterable[Path]) -> str:
    """Quote files as a list for DuckDB, which then reads these and takes no character as a pattern.

    >>> sql_files([Path("/data/site [1]/labs.csv")])
    "['/data/site [[]1]/labs.csv']"
    """
    return f"[{', '.join(sql_literal(literal_path(path)) for path in paths)}]"


def literal_path(path: Path) -> str:
    """Return an absolute path in which `*`, `?`, `[` and a first `~` mean themselves to DuckDB."""
    return _SPECIAL.sub(r"[\1]", os.path.abspath(path))  # noqa: PTH100, does not follow links
