"""Quote values and names for SQL."""

from typing import Any


def sql_literal(value: Any) -> str:
    """Quote a value as an SQL string."""
    escaped = str(value).replace("'", "''")
    return f"'{escaped}'"


def sql_identifier(name: str) -> str:
    """Quote a name as an SQL identifier."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
