"""A test that draws from torch's global generator draws the same, whatever ran before it."""

import pytest
import torch
from torch import Tensor

from tests.helpers.seeded import same_draws


def expected() -> Tensor:
    return torch.rand(3, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def drawn() -> Tensor:
    return torch.rand(3)


@pytest.mark.parametrize("again", range(2))
def test_a_test_and_a_fixture_draw_the_same_each_time(drawn: Tensor, again: int):
    assert torch.equal(drawn, expected())
    assert torch.equal(torch.rand(3), expected()), again


def test_draws_leave_the_global_generator_as_it_was():
    before = torch.get_rng_state()
    with same_draws():
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
