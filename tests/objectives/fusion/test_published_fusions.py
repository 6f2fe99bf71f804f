"""What the fusions of published models must show, each against its definition."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from clinical_symile.objectives.outcome import Supervised
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import FUSIONS
from tests.helpers.objective_values import connected, loss_value, unit_batch
from tests.objectives.fusion.test_every_fusion import DIM, MODALITIES, SETS, drawn, made


def only(fusion: Any, vectors: Tensor) -> Tensor:
    """What an LSTM of the same weights gives after some vectors."""
    lstm = torch.nn.LSTM(DIM, DIM, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        for name, value in fusion.cell.named_parameters():
            getattr(lstm, f"{name}_l0").copy_(value)
    return lstm(vectors[None])[1][0][0, 0]


@pytest.mark.parametrize("order", [None, ("labs", "cxr", "ecg")])
def test_a_missing_modality_is_no_step_of_the_lstm_and_the_order_is_the_one_named(order):
    fusion, z = made("lstm", order=order), drawn(len(SETS))
    fused, steps = fusion(z, SETS), order or MODALITIES
    for i, available in enumerate(SETS):
        columns = [MODALITIES.index(name) for name in steps]
        kept = [column for column in columns if available[column]]
        torch.testing.assert_close(fused[i], only(fusion, z[i, kept]))


def test_the_order_of_an_lstm_matters_and_must_name_each_modality_once():
    z = drawn(3)
    assert not torch.allclose(made("lstm")(z), made("lstm", order=("ecg", "cxr", "labs"))(z))
    for wrong in (("cxr", "ecg"), ("cxr", "ecg", "ecg"), ("cxr", "ecg", "mri")):
        with pytest.raises(ValueError, match="expected each of cxr, ecg, labs once"):
            made("lstm", order=wrong)


def test_skipping_a_modality_equals_a_latent_array_that_never_had_it():
    whole = made("latent_array", width=8, latents=3, heads=2)
    z = drawn(5)
    for left_out, name in enumerate(MODALITIES):
        kept = [column for column in range(3) if column != left_out]
        names = tuple(MODALITIES[column] for column in kept)
        fewer: Any = resolve("latent_array", FUSIONS)(
            names, DIM, torch.Generator(), width=8, latents=3, heads=2
        ).double()
        weights = {
            key: value for key, value in whole.state_dict().items() if not key.startswith("steps")
        }
        weights["places"] = weights["places"][kept]
        for place, column in enumerate(kept):
            for key, value in whole.steps[column].state_dict().items():
                weights[f"steps.{place}.{key}"] = value
        fewer.load_state_dict(weights)
        available = torch.ones(5, 3, dtype=torch.bool)
        available[:, left_out] = False
        torch.testing.assert_close(whole(z, available), fewer(z[:, kept]), msg=name)


def test_a_step_of_the_array_adds_attention_and_a_feed_forward_layer():
    fusion = made("latent_array", width=8, latents=3, heads=1, passes=1, tokens=2)
    step, array = fusion.steps[0], torch.randn(1, 3, 8, dtype=torch.float64)
    tokens = drawn(1)[:, 0].unflatten(1, (2, 4))
    attention, queries, keys = step.attention, step.array_norm(array)[0], step.token_norm(tokens)[0]
    bias = attention.in_proj_bias.chunk(3)
    q = queries @ attention.q_proj_weight.T + bias[0]
    k, v = keys @ attention.k_proj_weight.T + bias[1], keys @ attention.v_proj_weight.T + bias[2]
    after = array[0] + attention.out_proj(torch.softmax(q @ k.T / math.sqrt(8), dim=1) @ v)
    expected = after + step.forward_layers(after)
    torch.testing.assert_close(step(array, tokens)[0], expected)


def test_shared_parts_alone_are_the_mean_of_what_is_available():
    fusion, z = made("shared_specific", specific=False), drawn(len(SETS))
    mean = made("mean")(z, SETS)
    torch.testing.assert_close(fusion(z, SETS), fusion.shared(mean))
    with torch.no_grad():
        fusion.shared.weight.copy_(torch.eye(DIM))
        fusion.shared.bias.zero_()
    torch.testing.assert_close(fusion(z, SETS), mean)
    assert set(fusion.extra_losses(z, SETS)) == {"alignment"}


def test_a_missing_shared_part_is_the_mean_of_the_others():
    fusion, z = made("shared_specific"), drawn(len(SETS))
    fused = fusion(z, SETS)
    for i, available in enumerate(SETS):
        shared = fusion.shared(z[i])
        parts = []
        for m in range(3):
            if available[m]:
                both = torch.cat([shared[m], fusion.specific[m](z[i, m])])
                parts.append(shared[m] + fusion.compose(both))
            else:
                parts.append(shared[available].mean(dim=0))
        torch.testing.assert_close(fused[i], torch.stack(parts).mean(dim=0))


def test_the_losses_of_shared_and_specific_parts_are_those_of_the_definition():
    fusion, z = made("shared_specific", alignment=0.3, domain=0.7), drawn(len(SETS))
    found = fusion.extra_losses(torch.where(SETS[:, :, None], z, 0.0), SETS)
    distances, told = {(0, 1): [], (0, 2): [], (1, 2): []}, []
    for i, available in enumerate(SETS):
        shared = fusion.shared(z[i])
        for (a, b), values in distances.items():
            if available[a] and available[b]:
                values.append((shared[a] - shared[b]).abs().mean().item())
        for m in available.nonzero()[:, 0].tolist():
            logits = fusion.tell(fusion.specific[m](z[i, m]))
            told.append(-torch.log_softmax(logits, dim=0)[m].item())
    means = [sum(values) / len(values) for values in distances.values()]
    assert found["alignment"].item() == pytest.approx(0.3 * sum(means) / 3, rel=1e-12)
    assert found["domain"].item() == pytest.approx(0.7 * sum(told) / len(told), rel=1e-12)


def test_one_expert_and_equal_vectors_are_the_learned_way(rng):
    """The same loss and gradients as a learned vector for each modality under one perceptron."""
    settings = {"name": "experts", "experts": 1}
    objective = connected(Supervised(fusion=settings, unimodal_weight=0.0))
    learned = unit_batch(rng, 1)[0]
    fusion: Any = objective.fusion
    with torch.no_grad():
        fusion.bank.copy_((2 * learned).expand_as(fusion.bank))  # the scale of unit vectors
    z, available = unit_batch(rng, 7), SETS
    labels = torch.tensor([[0.0], [1.0], [0.0], [1.0], [1.0], [0.0], [1.0]]).expand(-1, 2)
    banked = loss_value(objective, z, available, labels=labels)
    filled = torch.where(available[:, :, None], z, learned)
    objective.zero_grad()
    assert loss_value(objective, filled, labels=labels) == pytest.approx(banked, rel=1e-12)


def test_the_vector_of_a_missing_modality_depends_on_the_set_that_is_there():
    fusion, z = made("experts"), drawn(1)
    sets = torch.tensor([[True, True, False], [True, False, False]])
    for available, code in zip(sets, (3, 1), strict=True):  # cxr has 1, ecg has 2
        every = torch.where(available[:, None], z[0], fusion.bank[code])
        logits = fusion.router(every.flatten())
        chosen = logits.topk(2).indices
        weights = torch.softmax(logits[chosen], dim=0)
        outputs = [fusion.experts[e](every.flatten()) for e in chosen.tolist()]
        expected = weights[0] * outputs[0] + weights[1] * outputs[1]
        torch.testing.assert_close(fusion(z, available[None])[0], expected)


def test_the_router_learns_the_expert_of_an_incomplete_set_and_even_use_of_complete_ones():
    fusion, z = made("experts", balance=1.0), drawn(len(SETS))
    assert fusion.expert_of_set(SETS).tolist() == [0, 4, 2, 6, 1, 5, 3]
    z = torch.where(SETS[:, :, None], z, 0.0)
    incomplete = ~SETS.all(dim=1)
    found = fusion.extra_losses(z[incomplete], SETS[incomplete])["router"].item()
    losses = []
    for i in incomplete.nonzero()[:, 0].tolist():
        code = sum(2**m for m in range(3) if SETS[i, m])
        every = torch.where(SETS[i][:, None], z[i], fusion.bank[code])
        losses.append(-torch.log_softmax(fusion.router(every.flatten()), dim=0)[7 - code].item())
    assert found == pytest.approx(sum(losses) / 6, rel=1e-12)
    with torch.no_grad():
        fusion.router.weight.zero_()
        fusion.router.bias.copy_(torch.arange(7.0))  # the last two experts have all samples
    share = 1 / (1 + math.exp(-1))
    use = torch.tensor([0, 0, 0, 0, 0, 1 - share, share], dtype=torch.float64)
    expected = use.var() / use.mean() ** 2
    every = torch.ones(4, 3, dtype=torch.bool)
    found = fusion.extra_losses(drawn(4), every)["router"]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("latent_array", {"tokens": 3}, "dim is 8; expected a multiple of 3"),
        ("latent_array", {"passes": 0}, "passes is 0; expected a number of at least 1"),
        ("shared_specific", {"domain": -1.0}, r"domain is -1.0; expected a number of at least 0"),
        ("experts", {"experts": 0}, "experts is 0; expected a number of at least 1"),
        ("experts", {"balance": -1.0}, r"balance is -1.0; expected a number of at least 0"),
    ],
)
def test_an_argument_out_of_range_is_refused(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        made(name, **arguments)
