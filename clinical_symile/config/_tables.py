"""Say whether a value of a definition is a table or a list."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard


def is_table(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Return True for a table of a definition."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[Sequence[Any]]:
    """Return True for a list of a definition, or the tuple that it was read into."""
    return isinstance(value, list | tuple)
