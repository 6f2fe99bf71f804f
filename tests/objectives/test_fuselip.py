"""FuseLIP: its loss in loops, parts that are never empty, and a sample that has nothing."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.fuselip import FuseLip, random_part
from clinical_symile.objectives.slots import FewSamplesError
from tests.helpers.objective_values import MODALITIES, connected, loss_value, unit_batch

AVAILABLE = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [1, 1, 0], [0, 0, 0]]).bool()


class Mean(nn.Module):
    """The normalized mean of the visible modalities, the first of which is always there."""

    def forward(self, z: Tensor, visible: Tensor) -> Tensor:
        return normalize((z * visible[:, :, None]).sum(dim=1), dim=1)


def _made(*, divide_tokens: bool = False) -> FuseLip:
    return connected(FuseLip(width=8, heads=2, tokens=2, divide_tokens=divide_tokens))


def test_the_loss_is_its_definition_in_loops_and_leaves_single_modalities_out(rng) -> None:
    objective, z = _made(), unit_batch(rng, 5)
    objective.add_module("fusion", Mean())
    found = loss_value(objective, z, AVAILABLE, temperature=0.2)
    rows = [0, 1, 3]
    first = random_part(AVAILABLE[rows], generator=torch.Generator().manual_seed(0))
    parts: list[list[Tensor]] = [[], []]
    for place, i in enumerate(rows):
        for side in (0, 1):
            total = objective.always_there.detach().clone()
            for m in range(3):
                if AVAILABLE[i, m] and bool(first[place, m]) == (side == 0):
                    total = total + z[i, m]
            parts[side].append(total / total.norm())
    loss = 0.0
    for one, other in (parts, parts[::-1]):
        for i in range(3):
            logits = [float(one[i] @ other[j]) / 0.2 for j in range(3)]
            loss += math.log(sum(map(math.exp, logits))) - logits[i]
    assert found == pytest.approx(loss / 6, rel=1e-10)


@pytest.mark.parametrize("divide_tokens", [False, True])
def test_any_set_of_modalities_is_fused_and_nothing_is_a_learned_vector(
    divide_tokens: bool, rng
) -> None:
    objective = _made(divide_tokens=divide_tokens)
    masks = torch.cartesian_prod(*[torch.tensor([False, True])] * 3)
    z = unit_batch(rng, len(masks)).masked_fill(~masks[:, :, None], 0.0)
    fused = objective.fused(z, masks)
    assert fused.norm(dim=1).tolist() == pytest.approx([1] * 8)
    other = objective.fused(unit_batch(rng, 8).masked_fill(~masks[:, :, None], 0.0), masks)
    assert torch.equal(fused[0], other[0])
    assert not torch.isclose(fused[1:], other[1:]).all(dim=1).any()
    loss_value(objective, unit_batch(rng, 5), AVAILABLE)
    assert objective.always_there.grad is not None
    assert (objective.always_there.grad != 0).any()


def test_samples_with_one_modality_or_none_change_no_loss(rng) -> None:
    z = unit_batch(rng, 5)
    found = loss_value(_made(), z, AVAILABLE)
    kept = [0, 1, 3]
    assert found == loss_value(_made(), z[kept], AVAILABLE[kept])


def test_parts_are_disjoint_never_empty_and_all_equally_likely() -> None:
    generator = torch.Generator().manual_seed(0)
    has = torch.tensor([[True, True, False, True]]).expand(6000, 4)
    part = random_part(has, generator=generator)
    assert not (part & ~has).any()
    assert part.any(dim=1).all()
    assert (has & ~part).any(dim=1).all()
    codes, counts = (part * torch.tensor([1, 2, 4, 8])).sum(dim=1).unique(return_counts=True)
    assert codes.tolist() == [1, 2, 3, 8, 9, 10]
    assert (counts - 1000).abs().max() < 5 * math.sqrt(1000)
    pair = random_part(torch.ones(50, 2, dtype=torch.bool), generator=generator)
    assert (pair.sum(dim=1) == 1).all()


def test_with_tokens_divided_both_parts_may_have_some_of_one_modality() -> None:
    has = torch.ones(200, 3, 2, dtype=torch.bool)
    part = random_part(has, generator=torch.Generator().manual_seed(0))
    shared = part.any(dim=2) & (~part).any(dim=2)
    assert shared.any(dim=1).double().mean() > 0.5


def test_a_score_compares_what_a_query_has_with_the_candidate_alone(rng) -> None:
    objective, z = _made(), unit_batch(rng, 3)
    available = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 0, 1]]).bool()
    query = Embeddings(z, available, MODALITIES[:3], torch.arange(3))
    candidates = unit_batch(rng, 4)[:, 0]
    scores = objective.score(query, candidates, target="cxr")
    for i, seen in enumerate(([1, 2], [1], [2])):
        mask = torch.zeros(1, 3, dtype=torch.bool)
        mask[0, seen] = True
        alone = torch.tensor([[True, False, False]])
        for j in range(4):
            with torch.no_grad():
                asked = objective.fused(z[i][None] * mask[:, :, None], mask)
                answer = objective.fused(candidates[j][None, None] * alone[:, :, None], alone)
            assert scores[i, j].item() == pytest.approx((asked @ answer.T).item(), abs=1e-12)


def test_what_it_cannot_do_is_refused(rng) -> None:
    with pytest.raises(ValueError, match="heads is 0"):
        FuseLip(heads=0)
    with pytest.raises(ValueError, match="width is 30; expected a multiple of 4"):
        FuseLip(width=30)
    with pytest.raises(ValueError, match="dim is 4; expected a multiple of 3"):
        connected(FuseLip(tokens=3), dim=4)
    lone = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 0, 1]]).bool()
    with pytest.raises(FewSamplesError, match="this batch of 3 has no such pair"):
        loss_value(_made(), unit_batch(rng, 3), lone)
