"""Gated Symile against its definition in loops and known values."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.gated import GatedSymile
from tests.helpers.objective_values import MODALITIES, connected, loss_value, unit_batch


def known_gates(*, blend=0.5, null=True) -> GatedSymile:
    """Identity maps, gate temperature 1, neutral vectors 1/√d and logits of ten."""
    objective = GatedSymile(gate_dim=3, blend=blend, null=null)
    connected(objective, dim=3)
    with torch.no_grad():
        objective.gate_parameter.fill_(math.log(math.expm1(0.9)))
        objective.blend_logit.fill_(math.log(blend / (1 - blend)))
        for maps in (objective.query_maps, objective.key_maps):
            maps.copy_(torch.eye(3).repeat(3, 1, 1))
        objective.neutral.fill_(1 / math.sqrt(3))
    return objective


def logit_in_loops(objective, z, available, candidate, target):
    """One query with one candidate."""
    blend = float(objective.blend_logit.sigmoid())
    temperature = float(torch.nn.functional.softplus(objective.gate_parameter)) + 0.1
    query = normalize(objective.query_maps[target] @ candidate, dim=0)
    kept = 1.0
    if objective.null_maps is not None:
        kept = 1 - 1 / (1 + math.exp(-float(objective.null_maps[target] @ candidate)))
    product = torch.ones_like(candidate)
    for m in range(len(z)):
        if m == target:
            continue
        neutral = normalize(objective.neutral[m], dim=0)
        if not available[m]:
            product = product * neutral
            continue
        key = normalize(objective.key_maps[m] @ z[m], dim=0)
        gate = kept / (1 + math.exp(-float(query @ key) / temperature))
        gated = (1 - blend) * z[m] + blend * (gate * z[m] + (1 - gate) * neutral)
        product = product * normalize(gated, dim=0)
    return len(candidate) ** ((len(z) - 1) / 2) * float(product @ candidate)


def loss_in_loops(objective, z, available):
    scale, losses = float(objective.logit_scale), []
    for target in range(z.shape[1]):
        rows = [i for i in range(len(z)) if available[i, target]]
        asked = [i for i in rows if available[i].sum() >= 2]
        total = 0.0
        for i in asked:
            logits = {
                j: scale * logit_in_loops(objective, z[i], available[i], z[j, target], target)
                for j in rows
            }
            total += math.log(sum(math.exp(v) for v in logits.values())) - logits[i]
        losses.append(total / len(asked))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_the_loss_is_its_definition_in_loops(modalities, rng):
    z = unit_batch(rng, 5, modalities)
    available = torch.from_numpy(rng.random((5, modalities)) < 0.7)
    available[:2] = True
    objective = connected(GatedSymile(gate_dim=2, blend=0.3), modalities=modalities)
    with torch.no_grad():
        objective.neutral.copy_(torch.from_numpy(rng.standard_normal((modalities, 4))))
        assert objective.null_maps is not None
        objective.null_maps.copy_(torch.from_numpy(rng.standard_normal((modalities, 4))))
        found = loss_in_loops(objective, z, available)
    assert loss_value(objective, z, available) == pytest.approx(found, rel=1e-10)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 5.144830254717),
        ({"blend": 1 / (1 + math.exp(3))}, 2.794711947696),
        ({"null": False}, 4.399879404205),
    ],
)
def test_it_has_its_known_values(settings, expected, fixture_f):
    found = loss_value(known_gates(**settings), fixture_f, temperature=3 / 10)
    assert found == pytest.approx(expected, abs=1e-10)


def test_without_a_blend_it_is_symile_one_slot(fixture_f):
    found = loss_value(known_gates(blend=1e-14), fixture_f, temperature=3 / 10)
    assert found == pytest.approx(2.658872514263, abs=1e-10)


def test_a_missing_modality_is_neutral(fixture_f, without_last_labs):
    found = loss_value(known_gates(), fixture_f, without_last_labs, temperature=3 / 10)
    assert found == pytest.approx(5.072230941063, abs=1e-10)


def test_the_score_has_its_known_values_and_is_what_training_compares(fixture_f):
    available = torch.ones(1, 3, dtype=torch.bool)
    query = Embeddings(fixture_f[:1], available, MODALITIES[:3], torch.arange(1))
    scores = known_gates().score(query, fixture_f[:, 0], target="cxr")[0] * 10 / 3
    known = [-3.026882227902, 2.862562971700, -0.348456072706, 2.874471633279]
    assert scores.tolist() == pytest.approx(known, abs=1e-11)


def test_with_one_modality_the_others_are_neutral(rng):
    z = unit_batch(rng, 3)
    available = torch.tensor([[True, True, False]] * 3)
    objective = connected(GatedSymile(gate_dim=2))
    query = Embeddings(z, available, MODALITIES[:3], torch.arange(3))
    scores = objective.score(query, z[:, 0], target="cxr")
    with torch.no_grad():
        for i in range(3):
            expected = [logit_in_loops(objective, z[i], available[i], z[j, 0], 0) for j in range(3)]
            assert scores[i].tolist() == pytest.approx(expected, rel=1e-11)


def test_starting_values_come_from_the_generator():
    first, second = (connected(GatedSymile()) for _ in range(2))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_arguments_out_of_range_are_all_named():
    with pytest.raises(ValueError, match=r"gate_dim is 0; .* gate_temperature is 0.1; .* blend is"):
        GatedSymile(gate_dim=0, gate_temperature=0.1, blend=1.0)


def test_a_batch_without_two_samples_of_a_modality_is_refused(fixture_f):
    with pytest.raises(ValueError, match="Gated Symile needs at least 2 samples"):
        loss_value(known_gates(), fixture_f, torch.eye(4, 3, dtype=torch.bool))
