"""Check the numbers and words that an objective is made with; each problem is one sentence."""

import math
from collections.abc import Callable, Mapping, Sequence

Number = float | int


def refuse(*problems: list[str]) -> None:
    """Raise one error that names every problem.

    Args:
        problems: what the other functions of this module return.

    Raises:
        ValueError: there is a problem.
    """
    found = [problem for some in problems for problem in some]
    if found:
        raise ValueError(" ".join(found))


def positive(**values: Number) -> list[str]:
    """Name the values that are not above 0 and finite."""
    return _outside(values, lambda value: 0 < value < math.inf, "a positive number")


def at_least(least: Number, **values: Number) -> list[str]:
    """Name the values that are below a limit or not finite."""
    return _outside(values, lambda v: least <= v < math.inf, f"a number of at least {least:g}")


def from_0_to_1(**values: Number) -> list[str]:
    """Name the values that are not from 0 to 1."""
    return _outside(values, lambda value: 0 <= value <= 1, "a number from 0 to 1")


def between_0_and_1(**values: Number) -> list[str]:
    """Name the values that are not between 0 and 1; neither limit is allowed."""
    return _outside(values, lambda value: 0 < value < 1, "a number between 0 and 1")


def above(limit: Number, most: Number = math.inf, **values: Number) -> list[str]:
    """Name the values that are not above a limit, not finite, or above the largest allowed one."""
    words = f"more than {limit:g}" if most == math.inf else f"more than {limit:g}, at most {most:g}"
    return _outside(values, lambda v: limit < v <= most and v < math.inf, words)


def multiple_of(divisor: int, **values: Number) -> list[str]:
    """Name the values that are no multiple of a divisor, which must be 1 or more."""
    return _outside(values, lambda v: divisor < 1 or v % divisor == 0, f"a multiple of {divisor}")


def one_of(choices: Sequence[str], **values: str) -> list[str]:
    """Name the values that are no choice."""
    expected = ", ".join(f"'{choice}'" for choice in choices[:-1]) + f" or '{choices[-1]}'"
    return [
        f"{name} is '{value}'; expected {expected}."
        for name, value in values.items()
        if value not in choices
    ]


def _outside(
    values: Mapping[str, Number], is_inside: Callable[[Number], bool], expected: str
) -> list[str]:
    """Name the values that are outside; NaN is outside of everything."""
    return [
        f"{name} is {value}; expected {expected}."
        for name, value in values.items()
        if not is_inside(value)
    ]


def column_of(modality: str, modalities: Sequence[str]) -> int:
    """Return the column of the modality that an argument names.

    Raises:
        ValueError: it is none of the task.
    """
    if modality not in modalities:
        raise ValueError(
            f"modality is '{modality}'; expected one of the task: {', '.join(modalities)}. "
            "Correct it."
        )
    return modalities.index(modality)
