"""Check fields that accept several types, and refuse another value in one sentence."""

from collections.abc import Callable
from typing import Any

from pydantic import BeforeValidator


def accept_only(accepted: Callable[[Any], bool], *, expected: str) -> BeforeValidator:
    """Return a validator that refuses a value in one sentence, before the types of its field do.

    Args:
        accepted: returns True for a value of one of the types.
        expected: the types, in words.
    """

    def refuse(value: Any) -> Any:
        if not accepted(value):
            raise ValueError(f"is {value!r}; expected {expected}.")
        return value

    return BeforeValidator(refuse)


def is_number(value: object) -> bool:
    """Return True for a number; true and false are no numbers."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_text(value: object) -> bool:
    """Return True for a text that is not empty."""
    return isinstance(value, str) and value != ""
