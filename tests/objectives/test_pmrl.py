"""PMRL against singular value decompositions, known values and finite differences."""

import math

import pytest
import torch

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.pmrl import Pmrl, leading_directions
from tests.helpers.objective_values import MODALITIES, connected, loss_value, unit_batch


def terms_in_loops(z, available, tau, tau_singular):
    """Both terms from the decomposition of each sample's stack."""
    aligned, directions = 0.0, []
    rows = [i for i in range(len(z)) if available[i].sum() >= 2]
    for i in rows:
        stack = z[i][available[i]]  # [modality, dim]
        _, singular, right = torch.linalg.svd(stack, full_matrices=False)
        aligned += math.log(sum(math.exp(s / tau_singular) for s in singular)) - float(
            singular[0] / tau_singular
        )
        leading = right[0]
        products = stack @ leading
        largest = max(abs(float(p)) for p in products)
        first = next(p for p in products if abs(float(p)) >= largest - 1e-9)
        directions.append(leading * first.sign())
    found = 0.0
    for i, own in enumerate(directions):
        logits = [float(own @ other) / tau for other in directions]
        found += math.log(sum(math.exp(v) for v in logits)) - logits[i]
    return aligned / len(rows), found / len(rows)


@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_the_terms_are_those_of_singular_value_decompositions(modalities, rng):
    z = unit_batch(rng, 6, modalities, 5)
    available = torch.from_numpy(rng.random((6, modalities)) < 0.8)
    available[:2] = True
    objective = connected(Pmrl(), modalities=modalities, dim=5)
    found = loss_value(objective, z, available, temperature=0.1)
    assert found == pytest.approx(sum(terms_in_loops(z, available, 0.1, 0.05)), rel=1e-9)


def test_it_has_its_known_values(fixture_f, without_last_labs):
    objective = connected(Pmrl(), dim=3)
    loss_value(objective, fixture_f, temperature=0.1)
    every = torch.ones(4, 3, dtype=torch.bool)
    for available, known in (
        (every, (0.059149168425, 0.270429312960)),
        (without_last_labs, (0.034046251976, 0.017500654803)),
    ):
        z = torch.where(available[:, :, None], fixture_f, 0)
        found = [term.item() for term in objective.terms(z, available)]
        assert found == pytest.approx(known, abs=1e-10)


def test_gradients_are_those_of_finite_differences(rng):
    z = unit_batch(rng, 5).requires_grad_()
    objective = connected(Pmrl())
    available = torch.ones(5, 3, dtype=torch.bool)
    assert torch.autograd.gradcheck(
        lambda slots: objective.batch_loss(slots, available, generator=None).total, z
    )


def test_equal_modalities_have_finite_gradients_and_no_alignment_left():
    # All other singular values are 0 and equal; a general decomposition would give NaN here.
    z = torch.eye(4, dtype=torch.float64)[:, None].expand(4, 3, 4).clone().requires_grad_()
    objective = connected(Pmrl())
    aligned, found = objective.terms(z, torch.ones(4, 3, dtype=torch.bool))
    assert aligned.item() == pytest.approx(math.log(1 + 2 * math.exp(-math.sqrt(3) / 0.05)))
    (aligned + found).backward()
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


def test_directions_are_unit_vectors_that_do_not_depend_on_the_order_of_modalities(rng):
    z = unit_batch(rng, 6)
    counts = torch.full((6,), 3)
    _, directions = leading_directions(z, counts)
    assert directions.norm(dim=1).tolist() == pytest.approx([1] * 6, abs=1e-9)
    _, reordered = leading_directions(z[:, [2, 0, 1]], counts)
    torch.testing.assert_close(reordered, directions)


def test_the_score_is_the_leading_singular_value(rng):
    z = unit_batch(rng, 4)
    available = torch.ones(4, 3, dtype=torch.bool)
    available[1, 2] = False
    query = Embeddings(z, available, MODALITIES[:3], torch.arange(4))
    scores = Pmrl().score(query, z[:, 0], target="cxr")
    for i in range(4):
        others = [z[i, m] for m in (1, 2) if available[i, m]]
        for j in range(4):
            expected = torch.linalg.svdvals(torch.stack([z[j, 0], *others]))[0]
            assert scores[i, j].item() == pytest.approx(expected.item(), rel=1e-12)
    alone = 1 + (z[1, 1] @ z[:, 0].T).abs()
    torch.testing.assert_close(scores[1], alone.sqrt())


def test_a_singular_temperature_of_zero_is_refused():
    with pytest.raises(
        ValueError, match=r"singular_temperature is 0.0; expected a positive number"
    ):
        Pmrl(singular_temperature=0.0)
