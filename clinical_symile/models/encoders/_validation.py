"""Validate the sizes that a task gives an encoder."""

from typing import Any


def require_counts(**settings: Any) -> None:
    """Refuse settings that are not whole numbers of 1 or more.

    Raises:
        ValueError: with every such setting and its value.
    """
    _refuse("a whole number of 1 or more", {k: v for k, v in settings.items() if not _is_count(v)})


def require_lists(**settings: Any) -> None:
    """Refuse settings that are not lists of whole numbers of 1 or more.

    Raises:
        ValueError: with every such setting and its value.
    """
    wrong = {
        key: value
        for key, value in settings.items()
        if not isinstance(value, list | tuple) or not all(map(_is_count, value))
    }
    _refuse("a list of whole numbers of 1 or more", wrong)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _refuse(expected: str, wrong: dict[str, Any]) -> None:
    if wrong:
        found = ", ".join(f"{key} is {value!r}" for key, value in wrong.items())
        raise ValueError(f"{found}; expected {expected}.")
