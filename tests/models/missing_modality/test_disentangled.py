"""Shared and specific parts of embeddings; shared ones alone replace a missing modality."""

import math

import pytest
import torch
from torch import Tensor, nn

from clinical_symile.models.missing_modality.disentangled import SharedParts, sigmoid_divergence

DIM = 4
NORMS = [nn.Identity()] * 3


def drawn(samples: int) -> Tensor:
    return torch.randn(samples, 3, DIM, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def handler() -> SharedParts:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SharedParts(3, DIM)


def test_equal_shared_parts_do_not_diverge(handler):
    with torch.no_grad():
        for layer in handler.shared:
            assert isinstance(layer, nn.Linear)
            layer.weight.zero_()
            layer.bias.copy_(torch.arange(DIM))
    every = torch.ones(5, 3, dtype=torch.bool)
    found = handler.extra_losses(drawn(5), every, NORMS)
    assert found["shared"].item() == pytest.approx(0, abs=1e-7)


def test_the_divergence_is_that_of_bernoulli_variables_by_hand():
    first, second = torch.tensor([[0.0, 3.0, 80.0]]), torch.tensor([[math.log(3), 3.0, -80.0]])
    (found,) = sigmoid_divergence(first, second)
    p, q = 0.5, 0.75
    m = (p + q) / 2
    hand = (p * math.log(p / m) + (1 - p) * math.log((1 - p) / (1 - m))) / 2
    hand += (q * math.log(q / m) + (1 - q) * math.log((1 - q) / (1 - m))) / 2
    assert found.tolist() == pytest.approx([hand, 0, math.log(2)], abs=1e-6)


def test_orthogonal_parts_cost_nothing(handler):
    with torch.no_grad():
        for layers, kept in ((handler.shared, [1.0, 1, 0, 0]), (handler.specific, [0.0, 0, 1, 1])):
            for layer in layers:
                assert isinstance(layer, nn.Linear)
                layer.weight.copy_(torch.diag(torch.tensor(kept)))
                layer.bias.zero_()
        for layer in handler.restore:
            assert isinstance(layer, nn.Linear)
            layer.weight.copy_(torch.eye(DIM))
            layer.bias.zero_()
    found = handler.extra_losses(drawn(5), torch.ones(5, 3, dtype=torch.bool), NORMS)
    assert found["orthogonal"].item() == 0
    assert found["restored"].item() == pytest.approx(0, abs=1e-12)
    # Parts of the others tell nothing of the third and fourth number.
    assert found["replaced"].item() > 0.1


def test_shared_parts_alone_are_used_where_the_partner_is_missing(handler):
    z, without_labs = drawn(4), torch.tensor([[True, True, False]] * 4)
    before = handler.fill(z, without_labs)[:, 2]
    with torch.no_grad():
        for parameter in handler.specific.parameters():
            parameter.fill_(7.0)
    assert torch.equal(handler.fill(z, without_labs)[:, 2], before)
    shared = [layer(vectors) for layer, vectors in zip(handler.shared, scaled(z), strict=True)]
    expected = handler.restore[2]((shared[0] + shared[1]) / 2)
    torch.testing.assert_close(before, expected)


def scaled(z: Tensor) -> tuple[Tensor, ...]:
    return (z / z.square().mean(dim=2, keepdim=True).sqrt()).unbind(dim=1)


def test_what_is_missing_changes_no_loss(handler):
    z, has = drawn(5), torch.tensor([[True, True, False]] * 3 + [[True, False, False]] * 2)
    clean, other = (
        handler.extra_losses(torch.where(has[:, :, None], z, value), has, NORMS)
        for value in (0.0, 9.0)
    )
    assert clean.keys() == {"orthogonal", "restored", "shared", "replaced"}
    assert all(torch.equal(clean[name], other[name]) for name in clean)
    alone = torch.tensor([[True, False, False]] * 5)
    assert handler.extra_losses(z, alone, NORMS).keys() == {"orthogonal", "restored"}
    assert handler.extra_losses(z, ~has & has, NORMS) == {}
