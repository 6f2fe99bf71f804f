"""Swapped CLIP: CLIP to the bit without swaps, an exchange of two modalities with them."""

import pytest
import torch
from torch.nn.functional import normalize

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.clip import Clip
from clinical_symile.objectives.swap import SwappedClip, swapped_places
from tests.helpers.dense import dense_clip_loss
from tests.helpers.objective_values import MODALITIES, loss_value, unit_batch


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_swaps_loss_and_gradients_are_clips_to_the_bit(dtype, rng):
    z = unit_batch(rng, 9).to(dtype)
    available = torch.from_numpy(rng.random((9, 3)) < 0.8)
    available[:3] = True
    found = []
    for objective in (Clip(temperature=0.1), SwappedClip(temperature=0.1, swapped_share=0.0)):
        slots = z.clone().requires_grad_()
        batch = Embeddings(slots, available, MODALITIES[:3], torch.arange(9))
        loss = objective(batch, generator=drawn())
        loss.backward()
        assert objective.log_logit_scale is not None
        found.append((loss.detach(), slots.grad, objective.log_logit_scale.grad))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_the_loss_is_clips_of_the_exchanged_embeddings(rng):
    z = unit_batch(rng, 12)
    available = torch.from_numpy(rng.random((12, 3)) < 0.7)
    available[:3] = True
    found = loss_value(SwappedClip(swapped_share=0.6).double(), z, available, temperature=0.2)
    places = swapped_places(available, share=0.6, generator=drawn())
    exchanged = torch.stack([z[i, places[i]] for i in range(12)])
    expected = dense_clip_loss(exchanged, torch.tensor(5.0, dtype=torch.float64), available)
    assert found == pytest.approx(expected.item(), rel=1e-11)


def test_a_share_of_the_samples_exchanges_two_of_the_modalities_that_it_has(rng):
    available = torch.from_numpy(rng.random((3000, 4)) < 0.6)
    places = swapped_places(available, share=0.3, generator=drawn())
    moved = places != torch.arange(4)
    assert set(moved.sum(dim=1).tolist()) == {0, 2}
    assert available[moved].all()
    able = available.sum(dim=1) >= 2
    assert moved.any(dim=1)[able].float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert torch.equal(places.gather(1, places), torch.arange(4).repeat(3000, 1))
    # Each pair of modalities of complete samples is as likely as another.
    complete = moved[available.all(dim=1) & moved.any(dim=1)]
    shares = complete.float().mean(dim=0)
    assert shares.tolist() == pytest.approx([0.5] * 4, abs=0.15)


def test_every_sample_is_swapped_or_none(rng):
    available = torch.ones(20, 3, dtype=torch.bool)
    for share, expected in ((0.0, False), (1.0, True)):
        places = swapped_places(available, share=share, generator=drawn())
        assert (places != torch.arange(3)).any(dim=1).tolist() == [expected] * 20


def test_the_gap_between_modalities_closes_more_with_swaps():
    def gap(objective) -> float:
        generator = drawn(3)
        z = torch.randn(40, 2, 8, generator=generator)
        z = (z + 4 * torch.eye(8)[:2]).requires_grad_()  # two cones
        optimiser = torch.optim.Adam([z], lr=0.02)
        for _ in range(150):
            optimiser.zero_grad()
            batch = Embeddings(
                normalize(z, dim=2),
                torch.ones(40, 2, dtype=torch.bool),
                MODALITIES[:2],
                torch.arange(40),
            )
            objective(batch, generator=generator).backward()
            optimiser.step()
        means = normalize(z.detach(), dim=2).mean(dim=0)
        return float((means[0] - means[1]).norm())

    assert gap(SwappedClip(temperature=0.05)) < 0.8 * gap(Clip(temperature=0.05))


def test_a_share_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"swapped_share is 1\.5; expected a number from 0 to 1"):
        SwappedClip(swapped_share=1.5)
