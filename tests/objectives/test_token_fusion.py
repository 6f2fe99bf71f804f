"""The transformer over tokens knows places, reads what is visible, and has seeded weights."""

import pytest
import torch

from clinical_symile.objectives.token_fusion import FusionTransformer
from tests.helpers.objective_values import unit_batch


def test_a_fusion_tells_places_and_modalities_apart_and_is_drawn_from_its_generator(rng) -> None:
    def made(seed: int) -> FusionTransformer:
        return FusionTransformer(
            2,
            8,
            tokens=2,
            width=8,
            heads=2,
            layers=2,
            generator=torch.Generator().manual_seed(seed),
        ).double()

    state = torch.random.get_rng_state()
    fusion, same, other = made(3), made(3), made(4)
    assert torch.equal(torch.random.get_rng_state(), state)
    z, every = unit_batch(rng, 5, 2, 8), torch.ones(5, 2, dtype=torch.bool)
    found = fusion(z, every)
    assert torch.equal(found, same(z, every))
    assert not torch.allclose(found, other(z, every))
    assert found.norm(dim=1).tolist() == pytest.approx([1] * 5)
    assert not torch.allclose(found, fusion(z.flip(1), every))
    assert not torch.allclose(found, fusion(z.unflatten(2, (2, 4)).flip(2).flatten(2), every))
    other_z = z.clone()
    other_z[:, 1] = 7.0
    first = torch.tensor([[True, False]]).expand(5, 2)
    torch.testing.assert_close(fusion(z, first), fusion(other_z, first), rtol=0, atol=1e-14)


def test_all_tokens_of_a_modality_are_the_modality_and_hidden_ones_are_not_read(rng) -> None:
    fusion = FusionTransformer(
        2, 8, tokens=2, width=8, heads=2, layers=1, generator=torch.Generator().manual_seed(0)
    ).double()
    z, first = unit_batch(rng, 3, 2, 8), torch.tensor([[True, False]]).expand(3, 2)
    every = first[:, :, None].expand(3, 2, 2)
    assert torch.equal(fusion(z, first), fusion(z, every))
    half = every & torch.tensor([True, False])
    other = z.clone()
    other[:, 0, 4:] = 7.0
    torch.testing.assert_close(fusion(z, half), fusion(other, half), rtol=0, atol=1e-14)
    assert not torch.allclose(fusion(z, half), fusion(z, every))
