"""The types and shapes of calls are checked while tests run."""

from dataclasses import dataclass

import jaxtyping
import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import Float, Int
from torch import Tensor

from clinical_symile.metrics.classification import brier
from clinical_symile.objectives.symile import symile_loss
from tests.helpers import type_checks
from tests.helpers.type_checks import FIRST_CALLS, check_calls

check = check_calls(typechecker=beartype)
REFUSED = jaxtyping.TypeCheckError  # a TypeError, which adapters and builders tell the user


@check
def joined(
    one: Float[Tensor, "sample dim"], other: Float[Tensor, "sample dim"]
) -> Float[Tensor, "sample dim"]:
    return one + other if len(one) > 1 else (one + other)[:, :-1]


@check
def twice(value: int) -> int:
    return 2 * value if value else "0"  # pyright: ignore[reportReturnType]


@check
def places(size: int) -> Int[Tensor, " {size}"]:
    return torch.arange(abs(size))


@check
@dataclass
class Pair:
    one: Float[Tensor, " dim"]
    other: Float[Tensor, " dim"]


def test_functions_of_the_package_are_checked() -> None:
    with pytest.raises(REFUSED):
        symile_loss(torch.zeros(4, 3), 1.0)
    with pytest.raises(REFUSED):
        brier(np.zeros(3, int), np.zeros(4))


def test_axes_of_a_name_have_one_size_within_a_call_and_another_in_the_next() -> None:
    for size in (2, 3):
        joined(torch.zeros(size, 4), torch.zeros(size, 4))
    with pytest.raises(REFUSED):
        joined(torch.zeros(2, 4), torch.zeros(3, 4))
    with pytest.raises(REFUSED):
        Pair(torch.zeros(2), torch.zeros(3))


def test_values_that_are_returned_are_checked() -> None:
    with pytest.raises(REFUSED):
        joined(torch.zeros(1, 4), torch.zeros(1, 4))
    with pytest.raises(REFUSED):
        twice(0)


def test_an_axis_may_have_the_size_that_an_argument_names() -> None:
    assert len(places(3)) == 3
    with pytest.raises(REFUSED):
        places(-3)


def test_types_without_axes_are_checked() -> None:
    with pytest.raises(REFUSED):
        twice("1")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("again", [0, 1])
def test_the_first_calls_of_each_test_are_checked(
    again: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    del again
    monkeypatch.setattr(type_checks._now, "checked_calls", FIRST_CALLS)
    for _ in range(FIRST_CALLS - 1):
        twice(1)
    with pytest.raises(REFUSED):
        twice(0)
    assert twice(0) == "0"


def test_every_call_is_checked_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type_checks._now, "checked_calls", float("inf"))
    for _ in range(2 * FIRST_CALLS):
        twice(1)
    with pytest.raises(REFUSED):
        twice(0)
