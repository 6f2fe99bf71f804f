"""Replacements of missing modalities in a loss are made for each target, without the target."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.clip import Clip
from clinical_symile.objectives.gated import GatedSymile
from clinical_symile.objectives.infonce import clip_loss
from clinical_symile.objectives.replacements import TargetedObjective, loss_with_replacements
from clinical_symile.objectives.slots import FewSamplesError
from clinical_symile.objectives.symile import Symile, symile_loss
from clinical_symile.objectives.volumes import Gram
from tests.helpers.objective_values import MODALITIES, connected, unit_batch

TARGETED = [
    Symile,
    lambda: Symile(negatives="shuffled"),
    lambda: Symile(negatives="cyclic-2"),
    lambda: Symile(negatives="one-slot", scaling="dvs"),
    Clip,
    lambda: Clip(reduction="sum"),
    lambda: GatedSymile(gate_dim=2),
]


def copied(z: Tensor, available: Tensor) -> Tensor:
    """Put the first available vector of a sample where one is missing."""
    first = available.int().argmax(dim=1)
    copy = torch.where(available.any(dim=1)[:, None], z[torch.arange(len(z)), first], 1.0)
    return torch.where(available[:, :, None], z, copy[:, None])


def batch(
    z: Tensor, available: Tensor, fill: Callable[[Tensor, Tensor], Tensor], **more
) -> Embeddings:
    return Embeddings(
        z, available, MODALITIES[: z.shape[1]], torch.arange(len(z)), fill=fill, **more
    )


def lacking(samples: int) -> Tensor:
    """Each sample lacks one modality in turn, but the first three, which lack none."""
    available = torch.ones(samples, 3, dtype=torch.bool)
    for sample in range(3, samples):
        available[sample, sample % 3] = False
    return available


@pytest.mark.parametrize("make", TARGETED)
def test_the_loss_of_a_complete_batch_is_the_mean_over_its_targets(make, rng):
    objective = connected(make())
    z = unit_batch(rng, 6, 3)
    every = torch.ones(6, 3, dtype=torch.bool)
    losses = [
        found(batch_of, generator=torch.Generator().manual_seed(0))
        for found, batch_of in (
            (objective, batch(z, every, copied)),
            (objective, Embeddings(z, every, MODALITIES[:3], torch.arange(6))),
        )
    ]
    if getattr(objective, "negatives", "") == "shuffled":  # each target draws its own permutations
        assert torch.isfinite(losses[0])
        return
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-10, atol=0)


@pytest.mark.parametrize("make", TARGETED)
def test_what_is_made_for_a_target_reads_nothing_of_it(make, rng):
    objective, z, available = connected(make()), unit_batch(rng, 9, 3), lacking(9)
    asked: list[Tensor] = []

    def fill(slots: Tensor, has: Tensor) -> Tensor:
        asked.append(has)
        assert (slots[~has] == 0).all()
        return copied(slots, has)

    loss = objective(batch(z, available, fill), generator=torch.Generator().manual_seed(0))
    assert torch.isfinite(loss)
    assert len(asked) == 3
    for target, has in enumerate(asked):
        expected = available.clone()
        expected[:, target] = False
        assert torch.equal(has, expected)


def test_a_copy_of_what_is_there_is_made_of_the_query_by_hand(rng):
    """Sample 3 lacks modality 0, sample 4 modality 1, sample 5 modality 2."""
    z, available = unit_batch(rng, 6, 3), lacking(6)
    symile, clip = [], []
    for target in range(3):
        slots, has = z.clone(), torch.ones(6, 3, dtype=torch.bool)
        for sample, missing in ((3, 0), (4, 1), (5, 2)):
            if missing == target:
                has[sample, target] = False
            else:  # the one modality that is neither missing nor the target
                slots[sample, missing] = z[sample, 3 - missing - target]
        symile.append(symile_loss(slots, 10.0, available=has, only=target))
        clip.append(clip_loss(slots, 1 / 0.07, available=has, only=target))
    for make, expected in ((Symile, symile), (Clip, clip)):
        found = make()(batch(z, available, copied))
        torch.testing.assert_close(found.double(), torch.stack(expected).mean(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("make", [Clip, lambda: GatedSymile(gate_dim=2)])
def test_copies_of_the_target_cannot_pass_for_knowledge(make, rng):
    """Of two modalities one is missing everywhere: a copy would find its original each time."""
    objective = connected(make(), modalities=2)
    z = unit_batch(rng, 8, 2)
    available = torch.tensor([[True, False]] * 8)
    with pytest.raises(FewSamplesError):
        objective(batch(z, available, copied))


def test_a_missing_target_is_retrieved_only_if_its_replacement_reads_no_vector(rng):
    z, available = unit_batch(rng, 4, 3), lacking(4)
    reads, blind = (
        batch(z, available, copied, fill_reads_vectors=value).filled_for("cxr")
        for value in (True, False)
    )
    assert reads.fill is None
    assert reads.available[:, 0].tolist() == [True, True, True, False]
    assert reads.available[:, 1:].all()
    assert blind.available.all()


def test_a_sample_with_the_target_alone_is_left_out(rng):
    alone = torch.tensor([[True, False, False], [True, True, False]])
    found = batch(unit_batch(rng, 2, 3), alone, copied).filled_for("cxr")
    assert found.available.tolist() == [[False] * 3, [True] * 3]


def test_a_target_that_too_few_samples_have_is_left_out(rng):
    z, available = unit_batch(rng, 6, 3), torch.ones(6, 3, dtype=torch.bool)
    available[1:, 2] = False
    objective = connected(GatedSymile(gate_dim=2))
    share = batch(z, available, copied)
    parts = [
        objective.target_loss(share.filled_for(name), target=m, group=None, generator=None)
        for m, name in enumerate(MODALITIES[:2])
    ]
    found = loss_with_replacements(objective, share, group=None, generator=None)
    torch.testing.assert_close(found, torch.stack(parts).mean())


def test_objectives_say_by_their_methods_whether_they_have_targets():
    assert isinstance(Symile(), TargetedObjective)
    assert not isinstance(Gram(), TargetedObjective)
    assert issubclass(Symile, Objective)
