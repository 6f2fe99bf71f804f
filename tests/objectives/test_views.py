"""Views mix only what is there, keep the batch as it is, and have targets that add up."""

import pytest
import torch

from clinical_symile.objectives.views import draw_mixing, hide_stretch, mixed_inputs

SOME = torch.tensor([[1, 1], [1, 0], [1, 1], [1, 0], [0, 1], [1, 1], [1, 1]], dtype=torch.bool)


@pytest.mark.parametrize("seed", range(5))
def test_samples_are_mixed_with_samples_that_have_the_same_modalities(seed: int) -> None:
    drawn = torch.Generator().manual_seed(seed)
    mixing = draw_mixing(SOME, mixed_share=0.7, concentration=0.5, generator=drawn)
    for m in range(2):
        assert torch.equal(SOME[mixing.partners[:, m]], SOME)
    unmixed = mixing.shares == 1
    assert (mixing.partners[unmixed] == torch.arange(7)[:, None].expand(7, 2)[unmixed]).all()
    assert unmixed[~SOME].all()
    assert ((mixing.shares >= 0) & (mixing.shares <= 1)).all()


def test_the_share_of_mixed_samples_is_the_given_one() -> None:
    available = torch.ones(2000, 1, dtype=torch.bool)
    for share in (0.0, 0.3, 1.0):
        drawn = torch.Generator().manual_seed(0)
        mixing = draw_mixing(available, mixed_share=share, concentration=2.0, generator=drawn)
        assert (mixing.shares < 1).double().mean().item() == pytest.approx(share, abs=0.05)


def test_inputs_are_mixed_in_a_copy(generator: torch.Generator) -> None:
    inputs = torch.randn(3, 2, 4, generator=generator)
    before = inputs.clone()
    partners, shares = torch.tensor([1, 0, 2]), torch.tensor([0.25, 1.0, 0.5])
    found = mixed_inputs(inputs, partners, shares)
    assert torch.equal(inputs, before)
    torch.testing.assert_close(found[0], 0.25 * inputs[0] + 0.75 * inputs[1])
    torch.testing.assert_close(found[1:], inputs[1:])


@pytest.mark.parametrize("shape", [(6, 2, 20), (6, 1, 5, 20), (6, 20)])
def test_one_stretch_of_the_given_length_is_hidden(shape, generator: torch.Generator) -> None:
    inputs = torch.ones(shape)
    found = hide_stretch(inputs, 0.25, generator=generator)
    assert (inputs == 1).all()
    hidden = (found == 0).reshape(6, -1, 20)
    assert (hidden.sum(dim=2) == 5).all()
    assert (hidden == hidden[:, :1]).all()
    places = hidden[:, 0].nonzero()[:, 1].reshape(6, 5)
    assert (places[:, -1] - places[:, 0] == 4).all()
    assert len(set(places[:, 0].tolist())) > 1
