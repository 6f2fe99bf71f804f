"""Translators between embeddings, and the cycles that they close."""

import pytest
import torch
from torch import Tensor, nn

from clinical_symile.models.missing_modality.translated import TranslatedVectors, Translator

DIM = 4


def drawn(samples: int) -> Tensor:
    return torch.randn(samples, 3, DIM, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def handler() -> TranslatedVectors:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TranslatedVectors(3, DIM)


def set_linear(translator: nn.Module, matrix: Tensor) -> None:
    assert isinstance(translator, Translator)
    with torch.no_grad():
        for parameter in translator.parameters():
            parameter.zero_()
        translator.linear.weight.copy_(matrix)


def test_exact_inverses_close_every_cycle_and_right_translations_cost_nothing(handler):
    generator = torch.Generator().manual_seed(1)
    turns = [torch.linalg.qr(torch.randn(DIM, DIM, generator=generator))[0] for _ in range(3)]
    for a in range(3):
        for b in range(3):
            if a != b:
                set_linear(handler.translators[f"{a}_{b}"], turns[b] @ turns[a].T)
    hidden = drawn(6)[:, 0]
    z = torch.stack([hidden @ turn.T for turn in turns], dim=1)
    every = torch.ones(6, 3, dtype=torch.bool)
    found = handler.extra_losses(z, every, [nn.Identity()] * 3)
    assert found["cycle"].item() == pytest.approx(0, abs=1e-10)
    assert found["translation"].item() == pytest.approx(0, abs=1e-10)
    wrong = handler.extra_losses(drawn(6), every, [nn.Identity()] * 3)
    assert wrong["cycle"].item() == pytest.approx(0, abs=1e-10)
    assert wrong["translation"].item() > 0.1


def test_the_source_alone_is_read_in_use(handler):
    z = drawn(4).requires_grad_()
    alone = torch.tensor([[False, True, False]] * 4)
    found = handler.fill(z, alone)
    (gradient,) = torch.autograd.grad(found[:, [0, 2]].square().sum(), z, retain_graph=True)
    assert (gradient[:, 1] != 0).any()
    assert (gradient[:, [0, 2]] == 0).all()
    ways = {name for name, p in handler.named_parameters() if used(found[:, 0], p)}
    assert {name.split(".")[1] for name in ways} == {"1_0"}


def used(found: Tensor, parameter: Tensor) -> bool:
    (gradient,) = torch.autograd.grad(
        found.square().sum(), parameter, retain_graph=True, allow_unused=True
    )
    return gradient is not None and bool((gradient != 0).any())


def test_several_sources_are_averaged(handler):
    z, both = drawn(4), torch.tensor([[True, True, False]] * 4)
    first, second = (
        handler.fill(z, torch.tensor([row] * 4))[:, 2]
        for row in ([True, False, False], [False, True, False])
    )
    torch.testing.assert_close(handler.fill(z, both)[:, 2], (first + second) / 2)


def test_what_is_translated_to_gets_no_gradient_from_it(handler):
    z = drawn(4).requires_grad_()
    both = torch.tensor([[True, True, False]] * 4)
    with torch.no_grad():
        for parameter in handler.translators["0_1"].parameters():
            parameter.zero_()
    loss = handler.extra_losses(z, both, [nn.Identity()] * 3)["translation"]
    (gradient,) = torch.autograd.grad(loss, z)
    # Constant translations of cxr: only those of ecg have a gradient, and reach ecg alone.
    assert (gradient[:, 1] != 0).any()
    assert (gradient[:, [0, 2]] == 0).all()


def test_nothing_is_learned_of_samples_with_one_modality(handler):
    alone = torch.tensor([[True, False, False]] * 4)
    assert handler.extra_losses(drawn(4), alone, [nn.Identity()] * 3) == {}
