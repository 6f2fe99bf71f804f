"""One error names all numbers and words that are out of range."""

import math

import pytest

from clinical_symile.objectives import arguments


@pytest.mark.parametrize(
    ("check", "inside", "outside"),
    [
        (arguments.positive, [1e-9, 3.0], [0.0, -1.0, math.inf]),
        (lambda **v: arguments.at_least(2, **v), [2, 3], [1, -1.0, math.inf]),
        (arguments.from_0_to_1, [0, 0.5, 1], [-1e-9, 1.1]),
        (arguments.between_0_and_1, [0.5], [0, 1, 2]),
        (lambda **v: arguments.above(0.1, **v), [0.2, 5.0], [0.1, math.inf]),
        (lambda **v: arguments.above(0, most=2, **v), [0.1, 2], [0, 2.1]),
        (lambda **v: arguments.multiple_of(3, **v), [0, 3, 12], [1, 4]),
    ],
)
def test_each_range_has_its_limits_and_never_nan(check, inside, outside) -> None:
    assert [check(x=value) for value in inside] == [[] for _ in inside]
    for value in [*outside, math.nan]:
        (problem,) = check(x=value)
        assert problem.startswith(f"x is {value}; expected ")


def test_all_problems_are_told_at_once() -> None:
    arguments.refuse([], [])
    message = (
        r"^a is -1; expected a positive number\. c is 2; expected a number from 0 to 1\. "
        r"d is 'e'; expected 'f', 'g' or 'h'\.$"
    )
    with pytest.raises(ValueError, match=message):
        arguments.refuse(
            arguments.positive(a=-1, b=1),
            arguments.from_0_to_1(c=2),
            arguments.one_of(("f", "g", "h"), d="e"),
        )


def test_a_modality_has_the_column_of_its_name_and_another_one_none() -> None:
    task = ("cxr", "ecg", "labs")
    assert [arguments.column_of(name, task) for name in task] == [0, 1, 2]
    with pytest.raises(ValueError, match="'notes'; expected one of the task: cxr, ecg, labs"):
        arguments.column_of("notes", task)
