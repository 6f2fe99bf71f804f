"""What holds for every objective in the table, for all kinds of negatives and of reduction."""

from dataclasses import replace

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.evaluation.leak_checks.fixtures import TOY_LABELS, toy_input
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.infonce import clip_loss
from clinical_symile.objectives.intra import IntraClip
from clinical_symile.objectives.label_predictor import LabelPredictor
from clinical_symile.objectives.mlem import Mlem
from clinical_symile.objectives.outcome import Supervised
from clinical_symile.objectives.rebar import Rebar
from clinical_symile.objectives.symile import symile_loss
from clinical_symile.registry.base import keyword_arguments, resolve
from clinical_symile.registry.families import OBJECTIVES
from tests.helpers.objective_values import SCORING, toy_loss

MODALITIES = ("cxr", "ecg", "labs")


def shuffled_loss(z, logit_scale, *, available=None):
    drawn = torch.Generator().manual_seed(0)
    return symile_loss(z, logit_scale, available=available, negatives="shuffled", generator=drawn)


def summed_loss(z, logit_scale, *, available=None):
    return clip_loss(z, logit_scale, available=available, reduction="sum")


def cyclic_loss(z, logit_scale, *, available=None):
    return symile_loss(z, logit_scale, available=available, negatives="cyclic-2")


def one_slot_loss(z, logit_scale, *, available=None):
    return symile_loss(z, logit_scale, available=available, negatives="one-slot")


each_loss = pytest.mark.parametrize(
    "loss", [symile_loss, shuffled_loss, cyclic_loss, one_slot_loss, clip_loss, summed_loss]
)


# Their score of one query modality is not its inner product; their own tests have it.
OTHER_SCORES = {
    "comm",
    "decoupled_uniformity",
    "fuselip",
    "gated_symile",
    "gram",
    "kernel_uniformity",
    "multi_head",
    "pcme",
    "pmrl",
    "probmed",
    "sepclr",
    "tokens",
    "triangle",
}
WITH_SCALE = {
    name for name in OBJECTIVES if "temperature" in keyword_arguments(name, OBJECTIVES)[0]
} - {"isogclr", "sogclr"}  # their temperature is not learned


def made(name: str, *, dim: int = 4, **arguments) -> Objective:
    objective = resolve(name, OBJECTIVES)(**arguments)
    objective.label_names = TOY_LABELS
    objective.connect(
        modalities=MODALITIES, dim=dim, norm="l2", generator=torch.Generator().manual_seed(0)
    )
    objective.begin_training(rows=64, batch_size=1)
    return objective


def drawn() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(params=sorted(OBJECTIVES))
def objective(request) -> Objective:
    return made(request.param)


each_that_scores = pytest.mark.parametrize("objective", SCORING, indirect=True)
with_scale = pytest.mark.parametrize("name", sorted(WITH_SCALE))


def embeddings(of: Objective, z: Tensor, available: Tensor | None = None) -> Embeddings:
    """Embeddings that the objective takes: with `spread`, the last half of `z` is log variances."""
    if available is None:
        available = torch.ones(z.shape[:2], dtype=torch.bool)
    rows = torch.arange(len(z))
    return Embeddings(z, available, MODALITIES, rows, spread=of.spread)


def filled_in(batch: Embeddings) -> Embeddings:
    """The same vectors, with substitutes as if they were embeddings of what is there."""
    z, available = batch.with_substitutes()
    return replace(batch, z=z, available=available, substitute=None)


def value_and_gradients(loss, z, available):
    z = z.clone().requires_grad_()
    scale = torch.tensor(2.0, dtype=z.dtype, requires_grad=True)
    value = loss(z, scale, available=available)
    return value, *torch.autograd.grad(value, [z, scale])


@st.composite
def presence(draw) -> Tensor:
    """Patterns with two complete samples, which may stand anywhere."""
    rows = draw(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=0, max_size=6))
    order = draw(st.permutations(range(len(rows) + 2)))
    return torch.tensor([*rows, [True] * 3, [True] * 3])[list(order)]


@each_loss
@settings(max_examples=30, deadline=None)
@given(available=presence(), junk=st.sampled_from([torch.nan, torch.inf, -torch.inf, 1e300]))
def test_what_absent_slots_hold_changes_nothing(loss, available, junk):
    z = torch.randn(len(available), 3, 4, generator=torch.Generator().manual_seed(0)).double()
    expected, *expected_gradients = value_and_gradients(loss, z, available)
    z[~available] = junk
    value, *gradients = value_and_gradients(loss, z, available)
    assert torch.isfinite(value)
    assert value == expected
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        assert torch.isfinite(gradient).all()
        assert torch.equal(gradient, expected_gradient)
    assert (gradients[0][~available] == 0).all()


@each_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_present_is_the_same_to_the_bit_as_no_presence_given(loss, dtype, generator):
    z = torch.randn(6, 3, 4, generator=generator, dtype=dtype)
    without = value_and_gradients(loss, z, None)
    given = value_and_gradients(loss, z, torch.ones(6, 3, dtype=torch.bool))
    assert all(torch.equal(a, b) for a, b in zip(without, given, strict=True))
    assert without[0].dtype == dtype


@pytest.mark.parametrize("loss", [symile_loss, one_slot_loss, clip_loss, summed_loss])
@settings(max_examples=20, deadline=None)
@given(available=presence(), data=st.data())
def test_the_order_of_samples_and_of_modalities_changes_nothing(loss, available, data):
    samples = data.draw(st.permutations(range(len(available))))
    modalities = data.draw(st.permutations(range(3)))
    z = torch.randn(len(available), 3, 4, generator=torch.Generator().manual_seed(0)).double()
    expected, gradient, _ = value_and_gradients(loss, z, available)
    reordered = z[samples][:, modalities], available[samples][:, modalities]
    value, reordered_gradient, _ = value_and_gradients(loss, *reordered)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(reordered_gradient, gradient[samples][:, modalities])


@each_loss
def test_half_precision_embeddings_are_contrasted_in_float32(loss, generator):
    z = torch.nn.functional.normalize(torch.randn(8, 3, 16, generator=generator), dim=2)
    exact = loss(z.bfloat16().float(), 5.0)
    assert torch.equal(loss(z.bfloat16(), 5.0), exact)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(z, 5.0), loss(z, torch.tensor(5.0)))
        assert loss(z, 5.0).dtype == torch.float32
        torch.testing.assert_close(loss(z, 5.0), exact, rtol=1e-2, atol=0)


@each_loss
def test_one_modality_is_refused(loss):
    with pytest.raises(ValueError, match="have 1 modality; expected at least 2"):
        loss(torch.zeros(4, 1, 2), 1.0)


@each_loss
def test_presence_of_another_shape_is_refused(loss, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=r"available has shape \[4, 1\]; expected \[4, 3\]"):
        loss(torch.zeros(4, 3, 2), 1.0, available=torch.ones(4, 1, dtype=torch.bool))


def test_the_loss_falls_with_training(objective, generator):
    z = torch.randn(8, 3, 4, generator=generator).requires_grad_()
    optimizer = torch.optim.Adam([z, *objective.parameters()], lr=0.1)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        unit = torch.nn.functional.normalize(z, dim=2)
        loss = toy_loss(objective, embeddings(objective, unit), generator)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


WITH_TERMS = {
    "cacr": {"attraction", "repulsion"},
    "clip_uniform": {"contrast", "alignment", "cross_uniformity", "uniformity"},
    "comm": {"single", "fused"},
    "confu": {"pairs", "fused"},
    "distilled": {"own", "teacher"},
    "farcon": {"fused", "restored", "divergence", "contrast", "swapped"},
    "intra": {"across", "within"},
    "mlem": {"across", "contrastive", "generative", "aligned"},
    "multi_head": {"heads", "temperatures"},
    "outcome": {"fused", *(f"unimodal_{name}" for name in MODALITIES)},
    "pcme": {"pairs", "divergence"},
    "pmrl": {"alignment", "directions"},
    "probmed": {"pairs", "samples", "divergence"},
    "rebar": {"across", "segments", "restoration"},
    "sepclr": {"common", "salient", "background", "dependence"},
}


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_the_terms_of_a_loss_add_up_to_its_total(name, generator):
    objective = made(name).double()
    z = torch.randn(6, 3, 4, generator=generator, dtype=torch.float64)
    available = torch.ones(6, 3, dtype=torch.bool)
    available[0, 1] = available[4, 2] = False
    batch = embeddings(objective, torch.nn.functional.normalize(z, dim=2), available)
    inputs = toy_input(objective, batch)
    loss = objective.training_loss(inputs, group=None, generator=drawn())
    assert set(loss.terms) == WITH_TERMS.get(name, set())
    if loss.terms:
        total = sum(term.item() for term in loss.terms.values())
        assert total == pytest.approx(loss.total.item(), rel=1e-12)
    assert not any(value.requires_grad for value in loss.terms.values())


def test_hidden_slots_of_embeddings_do_not_reach_the_loss(objective, generator):
    z = torch.randn(6, 3, 4, generator=generator)
    available = torch.ones(6, 3, dtype=torch.bool)
    available[0, 1] = available[4, 2] = False
    expected = toy_loss(objective, embeddings(objective, z, available), drawn())
    z[~available] = torch.nan
    assert toy_loss(objective, embeddings(objective, z, available), drawn()) == expected


def test_a_learned_substitute_stands_in_for_an_absent_modality(objective, generator):
    if isinstance(objective, IntraClip | Rebar | Mlem):
        objective.weight = 0.0  # inside a modality recordings alone are contrasted: see test_intra
    if isinstance(objective, Supervised):
        objective.unimodal_weight = 0.0  # heads of one modality read recordings: see test_outcome
    z = torch.nn.functional.normalize(torch.randn(6, 3, 4, generator=generator), dim=2)
    available = torch.ones(6, 3, dtype=torch.bool)
    available[:5, 1] = False
    substitute = torch.nn.functional.normalize(torch.randn(3, 4, generator=generator), dim=1)
    substitute.requires_grad_()
    batch = replace(embeddings(objective, z, available), substitute=substitute)
    inputs = toy_input(objective, batch)
    loss = objective.training_loss(inputs, group=None, generator=drawn()).total
    filled = torch.where(available[:, :, None], z, substitute[None])
    same = inputs.map_views(filled_in, lambda mixing: mixing)
    assert loss == objective.training_loss(same, group=None, generator=drawn()).total
    loss.backward()
    assert substitute.grad is not None
    assert (substitute.grad[1] != 0).any()
    assert (substitute.grad[[0, 2]] == 0).all()
    if isinstance(objective, LabelPredictor):
        same = embeddings(objective, filled)
        assert torch.equal(objective.log_odds(batch), objective.log_odds(same))
        return
    scores = objective.score(batch, z[:, 0], target="cxr")
    assert torch.equal(
        scores, objective.score(embeddings(objective, filled), z[:, 0], target="cxr")
    )


def test_an_objective_has_a_scale_if_it_takes_a_temperature():
    assert {name for name in OBJECTIVES if made(name).log_logit_scale is not None} == WITH_SCALE


@with_scale
def test_the_scale_starts_at_the_inverse_of_the_temperature(name):
    objective = made(name, temperature=0.2)
    assert objective.logit_scale.item() == pytest.approx(5)
    assert objective.scalars()["logit_scale"] == pytest.approx(5)
    assert "log_logit_scale" in objective.state_dict()


@with_scale
def test_the_scale_is_limited_and_can_come_down_again(name, generator):
    limited = made(name, temperature=0.5, logit_scale_max=4.0)
    assert limited.log_logit_scale is not None
    with torch.no_grad():
        limited.log_logit_scale.fill_(3.0)
    assert limited.logit_scale.item() == pytest.approx(4)
    unit = torch.nn.functional.normalize(torch.randn(6, 3, 4, generator=generator), dim=2)
    at_the_limit = made(name, temperature=0.25)
    found, expected = [
        toy_loss(each, embeddings(each, unit), drawn()) for each in (limited, at_the_limit)
    ]
    assert found.item() == pytest.approx(expected.item())
    found.backward()
    assert limited.log_logit_scale.grad != 0
    limited.after_step()
    assert limited.log_logit_scale.exp().item() == pytest.approx(4)


@with_scale
@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_a_temperature_that_is_not_positive_is_refused(name, temperature):
    with pytest.raises(ValueError, match=r"temperature is .*; expected a positive number"):
        made(name, temperature=temperature)


@with_scale
def test_a_temperature_below_the_limit_of_the_scale_is_refused(name):
    with pytest.raises(ValueError, match=r"starts the logit scale at 20, above logit_scale_max"):
        made(name, temperature=0.05, logit_scale_max=10.0)


def test_all_available_is_the_same_to_the_bit_whatever_the_mask_says(objective, generator):
    z = torch.nn.functional.normalize(torch.randn(6, 3, 4, generator=generator), dim=2)
    batch = embeddings(objective, z)
    every = toy_loss(objective, batch, drawn())
    visible = batch.with_visible(torch.ones(6, 3, dtype=torch.bool))
    assert toy_loss(objective, visible, drawn()) == every


def test_a_batch_in_half_precision_is_contrasted_in_float32(objective, generator):
    z = torch.nn.functional.normalize(torch.randn(6, 3, 4, generator=generator), dim=2).bfloat16()
    exact = toy_loss(objective, embeddings(objective, z.float()), drawn())
    assert exact.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert toy_loss(objective, embeddings(objective, z), drawn()) == exact


def test_equal_embeddings_of_all_samples_give_finite_gradients(objective):
    z = torch.full((5, 3, 4), 0.5).requires_grad_()
    loss = toy_loss(objective, embeddings(objective, z), drawn())
    loss.backward()
    assert torch.isfinite(loss)
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


@each_that_scores
def test_the_target_and_what_is_absent_are_never_read_by_the_score(objective, generator):
    z = torch.randn(5, 3, 4, generator=generator)
    candidates = torch.randn(7, 4, generator=generator)
    available = torch.ones(5, 3, dtype=torch.bool)
    available[2, 1] = available[3, 2] = False
    expected = objective.score(embeddings(objective, z, available), candidates, target="cxr")
    z[~available] = torch.nan
    z[:, 0] = torch.inf
    scores = objective.score(embeddings(objective, z, available), candidates, target="cxr")
    assert torch.equal(scores, expected)
    available[:, 0] = False
    assert torch.equal(
        objective.score(embeddings(objective, z, available), candidates, target="cxr"), expected
    )


@pytest.mark.parametrize("name", sorted({*SCORING} - OTHER_SCORES))
def test_a_query_of_one_modality_scores_by_its_inner_product(name, generator):
    objective = made(name)
    z = torch.randn(5, 3, 4, generator=generator)
    candidates = torch.randn(7, 4, generator=generator)
    available = torch.tensor([[True, False, True]] * 5)
    scores = objective.score(embeddings(objective, z, available), candidates, target="cxr")
    torch.testing.assert_close(scores, z[:, 2] @ candidates.T)


@each_that_scores
def test_scores_follow_the_candidates_and_the_queries(objective, generator):
    z = torch.randn(5, 3, 4, generator=generator)
    candidates = torch.randn(7, 4, generator=generator)
    scores = objective.score(embeddings(objective, z), candidates, target="labs")
    order = torch.randperm(7, generator=generator)
    assert torch.equal(
        objective.score(embeddings(objective, z), candidates[order], target="labs"),
        scores[:, order],
    )
    assert torch.equal(
        objective.score(embeddings(objective, z[:2]), candidates, target="labs"), scores[:2]
    )


@pytest.mark.parametrize("dim", [16, 64, 128, 200])
@pytest.mark.parametrize("count", [7, 10, 37])
@pytest.mark.parametrize("name", SCORING)
def test_equal_candidates_have_equal_scores_to_the_bit(name, count, dim):
    objective = made(name, dim=dim)
    rng = np.random.default_rng(count * dim)
    z = torch.from_numpy(rng.standard_normal((33, 3, dim), dtype=np.float32))
    candidates = torch.from_numpy(rng.standard_normal(dim, dtype=np.float32)).repeat(count, 1)
    scores = objective.score(embeddings(objective, z), candidates, target="ecg")
    assert scores.dtype == torch.float32
    assert (scores == scores[:, :1]).all()


@each_that_scores
def test_a_query_with_nothing_present_is_refused(objective):
    available = torch.ones(4, 3, dtype=torch.bool)
    available[1, 1:] = False
    query = embeddings(objective, torch.zeros(4, 3, 4), available)
    message = "1 of 4 queries for 'cxr' have no other modality available"
    with pytest.raises(ValueError, match=message):
        objective.score(query, torch.zeros(3, 4), target="cxr")
    assert objective.score(query, torch.zeros(3, 4), target="ecg").shape == (4, 3)


@each_that_scores
def test_an_unknown_target_is_refused(objective):
    query = embeddings(objective, torch.zeros(4, 3, 4))
    with pytest.raises(ValueError, match="'mri' is not a modality of the query; expected one of"):
        objective.score(query, torch.zeros(3, 4), target="mri")
