"""Fusions against a third modality: known values, loops, and one-slot Symile as a case."""

import math
from functools import reduce

import pytest
import torch

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.fused import FusedVsThird
from clinical_symile.objectives.symile import symile_loss
from tests.helpers.objective_values import MODALITIES, connected, loss_value, unit_batch


def plain(**arguments) -> FusedVsThird:
    return FusedVsThird(normalized=False, both_ways=False, **arguments)


def test_the_plain_product_has_its_known_value_and_is_one_slot_symile(fixture_f, rng):
    found = loss_value(connected(plain(), dim=3), fixture_f, temperature=0.1)
    assert found == pytest.approx(2.658872514263, abs=1e-11)
    for modalities in (2, 3, 4):
        z = unit_batch(rng, 6, modalities)
        expected = symile_loss(z, 5.0, negatives="one-slot")
        found = loss_value(connected(plain(), modalities=modalities), z, temperature=0.2)
        assert found == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("fusion", ["product", "sum"])
@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("both_ways", [True, False])
def test_the_loss_is_the_papers_in_loops(fusion, normalized, both_ways, rng):
    z = unit_batch(rng, 6)
    available = torch.ones(6, 3, dtype=torch.bool)
    available[4, 1] = False
    objective = FusedVsThird(fusion=fusion, normalized=normalized, both_ways=both_ways)
    found = loss_value(connected(objective), z, available, temperature=0.2)
    rows = [0, 1, 2, 3, 5]
    losses = []
    for target in range(3):
        fused = {}
        for i in rows:
            others = [z[i, m] for m in range(3) if m != target]
            whole = reduce(torch.mul if fusion == "product" else torch.add, others)
            fused[i] = whole / whole.norm() if normalized else whole
        logit = {(i, j): 5 * float(fused[i] @ z[j, target]) for i in rows for j in rows}
        forth = [math.log(sum(math.exp(logit[i, j]) for j in rows)) - logit[i, i] for i in rows]
        back = [math.log(sum(math.exp(logit[j, i]) for j in rows)) - logit[i, i] for i in rows]
        both = [sum(forth) / 5, sum(back) / 5]
        losses.append(sum(both) / 2 if both_ways else both[0])
    assert found == pytest.approx(sum(losses) / 3, rel=1e-11)


def test_with_two_modalities_it_is_clip(rng):
    z = unit_batch(rng, 5, 2)
    expected = symile_loss(z, 5.0)  # of two modalities, which is CLIP
    for fusion in ("product", "sum"):
        objective = connected(FusedVsThird(fusion=fusion), modalities=2)
        assert loss_value(objective, z, temperature=0.2) == pytest.approx(
            expected.item(), rel=1e-12
        )


def test_a_query_is_scored_by_the_fusion_of_what_it_has(rng):
    z = unit_batch(rng, 4)
    available = torch.tensor([[True, True, True], [True, True, False]] * 2)
    query = Embeddings(z, available, MODALITIES[:3], torch.arange(4))
    for fusion, of_two in (("product", torch.mul), ("sum", torch.add)):
        scores = FusedVsThird(fusion=fusion).score(query, z[:, 0], target="cxr")
        for i in range(4):
            whole = of_two(z[i, 1], z[i, 2])
            fused = whole / whole.norm() if available[i, 2] else z[i, 1]
            torch.testing.assert_close(scores[i], z[:, 0] @ fused)


def test_an_unknown_fusion_and_a_batch_without_complete_samples_are_refused(rng):
    with pytest.raises(ValueError, match="fusion is 'max'; expected 'product' or 'sum'"):
        FusedVsThird(fusion="max")
    available = torch.tensor([[True, True, True], [True, False, True], [False, True, True]])
    with pytest.raises(
        ValueError, match="needs at least 2 complete samples; this batch of 3 has 1"
    ):
        loss_value(connected(FusedVsThird()), unit_batch(rng, 3), available)
