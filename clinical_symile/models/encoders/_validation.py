"""Whether what a task says of an encoder's size describes a network that carries something."""

from typing import Any


def require_counts(**settings: Any) -> None:
    """Refuse a setting that is not a whole number of 1 or more.

    Raises:
        ValueError: with every such setting and its value.
    """
    _refuse("a whole number of 1 or more", {k: v for k, v in settings.items() if not _counts(v)})


def require_lists(**settings: Any) -> None:
    """Refuse a setting that is not a list of whole numbers of 1 or more.

    Raises:
        ValueError: with every such setting and its value.
    """
    wrong = {
        key: value
        for key, value in settings.items()
        if not isinstance(value, list | tuple) or not all(map(_counts, value))
    }
    _refuse("a list of whole numbers of 1 or more", wrong)


def _counts(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _refuse(expected: str, wrong: dict[str, Any]) -> None:
    if wrong:
        found = ", ".join(f"{key} is {value!r}" for key, value in wrong.items())
        raise ValueError(f"{found}; expected {expected}.")
