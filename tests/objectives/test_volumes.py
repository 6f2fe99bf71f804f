"""GRAM and TRIANGLE against their definitions in loops and known values."""

import math

import numpy as np
import pytest
import torch

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.volumes import Gram, Triangle, gram_determinant
from tests.helpers.objective_values import MODALITIES, connected, loss_value, unit_batch


def volume(*vectors) -> float:
    stack = torch.stack(vectors)
    return math.sqrt(max(float(torch.linalg.det(stack @ stack.T)), 0) + 1e-8)


def area(a, b, c) -> float:
    u, v = a - b, a - c
    return float((u @ u) * (v @ v) - (u @ v) ** 2) / 2


def anchored_in_loops(measure, z, available, scale, smoothing):
    """Each anchor's two cross-entropies, as the classes define them."""
    complete = [i for i in range(len(z)) if available[i].all()]
    losses = []
    for anchor in range(z.shape[1]):
        others = [m for m in range(z.shape[1]) if m != anchor]
        has_anchor = [i for i in range(len(z)) if available[i, anchor]]
        has_others = [j for j in range(len(z)) if available[j, others].all()]

        def logit(i, j, anchor=anchor, others=others):
            return -scale * measure(z[i, anchor], *(z[j, m] for m in others))

        total = 0.0
        for i in complete:
            for cells in (
                {j: logit(i, j) for j in has_others},
                {j: logit(j, i) for j in has_anchor},
            ):
                partition = math.log(sum(math.exp(v) for v in cells.values()))
                target = (1 - smoothing) * cells[i] + smoothing * sum(cells.values()) / len(cells)
                total += (partition - target) / 2
        losses.append(total / len(complete))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_gram_is_its_definition_in_loops(modalities, smoothing, rng):
    z = unit_batch(rng, 5, modalities, 5)
    available = torch.from_numpy(rng.random((5, modalities)) < 0.8)
    available[:2] = True
    objective = connected(Gram(label_smoothing=smoothing), modalities=modalities, dim=5)
    found = loss_value(objective, z, available, temperature=0.2)
    expected = anchored_in_loops(volume, z, available, 5.0, smoothing)
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_triangle_is_its_definition_in_loops(smoothing, rng):
    z = unit_batch(rng, 6)
    available = torch.from_numpy(rng.random((6, 3)) < 0.8)
    available[:2] = True
    objective = connected(Triangle(label_smoothing=smoothing))
    found = loss_value(objective, z, available, temperature=0.2)
    expected = anchored_in_loops(area, z, available, 5.0, smoothing)
    assert found == pytest.approx(expected, rel=1e-11)


def gradient_norms(objective, z) -> list[float]:
    z = z.clone().requires_grad_()
    batch = Embeddings(
        z, torch.ones(z.shape[:2], dtype=torch.bool), MODALITIES[:3], torch.arange(len(z))
    )
    objective(batch).backward()
    assert z.grad is not None
    return z.grad.square().sum((0, 2)).sqrt().tolist()


def test_gram_has_its_known_values(fixture_f, without_last_labs):
    for smoothing, whole, masked in (
        (0.0, 5.398460731907, 2.743135450553),
        (0.1, 5.305495211248, 2.842146295854),
    ):
        objective = connected(Gram(label_smoothing=smoothing), dim=3)
        assert loss_value(objective, fixture_f, temperature=0.07) == pytest.approx(whole, abs=1e-10)
        found = loss_value(objective, fixture_f, without_last_labs, temperature=0.07)
        assert found == pytest.approx(masked, abs=1e-10)
    objective = connected(Gram(label_smoothing=0.0), dim=3)
    loss_value(objective, fixture_f, temperature=0.07)
    known = [4.787146255710, 4.219139892550, 4.815743022471]
    np.testing.assert_allclose(gradient_norms(objective, fixture_f), known, rtol=1e-10)


def test_triangle_has_its_known_values(fixture_f, without_last_labs):
    for smoothing, whole, masked in (
        (0.0, 25.954569783801, 26.383931648445),
        (0.1, 24.732824053124, 24.987205904721),
    ):
        objective = connected(Triangle(label_smoothing=smoothing), dim=3)
        assert loss_value(objective, fixture_f, temperature=0.07) == pytest.approx(whole, abs=1e-10)
        found = loss_value(objective, fixture_f, without_last_labs, temperature=0.07)
        assert found == pytest.approx(masked, abs=1e-10)
    objective = connected(Triangle(label_smoothing=0.0), dim=3)
    loss_value(objective, fixture_f, temperature=0.07)
    known = [22.184316664368, 23.439390866418, 20.962355653419]
    np.testing.assert_allclose(gradient_norms(objective, fixture_f), known, rtol=1e-10)


def test_scores_of_both_have_their_known_values(fixture_f):
    known = {
        "gram": [-0.590681197931, -0.590681197931, -0.000100000001, -0.000100000000],
        "triangle": [-2.886283048169, -0.535188925743, -0.262497579333, -0.195990121959],
    }
    every, one = torch.ones(1, 3, dtype=torch.bool), torch.tensor([[True, True, False]])
    for name, objective in (("gram", Gram()), ("triangle", Triangle())):
        query = Embeddings(fixture_f[:1], every, MODALITIES[:3], torch.arange(1))
        scores = objective.score(query, fixture_f[:, 0], target="cxr")[0]
        assert scores.tolist() == pytest.approx(known[name], abs=1e-11)
    query = Embeddings(fixture_f[:1], one, MODALITIES[:3], torch.arange(1))
    alone = Gram().score(query, fixture_f[:, 0], target="cxr")[0].tolist()
    known_alone = [-0.938814443338, -0.949716165132, -0.479527407000, -0.795206231852]
    assert alone == pytest.approx(known_alone, abs=1e-11)
    distances = (fixture_f[0, 1] - fixture_f[:, 0]).square().sum(dim=1)
    scores = Triangle().score(query, fixture_f[:, 0], target="cxr")[0]
    torch.testing.assert_close(scores, -distances)


def test_two_vectors_span_the_sine_of_their_angle_whatever_its_sign():
    a = torch.tensor([1.0, 0.0])
    for angle in (0.3, math.pi - 0.3):
        b = torch.tensor([math.cos(angle), math.sin(angle)])
        found = gram_determinant(torch.ones(1, 1), (a @ b).reshape(1, 1, 1), torch.ones(1, 1, 1, 1))
        assert found.sqrt().item() == pytest.approx(math.sin(0.3), rel=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_determinant_is_that_of_the_gram_matrix(count, rng):
    own, others = (
        torch.from_numpy(rng.standard_normal(6)),
        torch.from_numpy(rng.standard_normal((count, 6))),
    )
    stack = torch.cat([own[None], others])
    found = gram_determinant(
        (own @ own).reshape(1, 1), (others @ own).reshape(1, 1, -1), (others @ others.T)[None, None]
    )
    assert found.item() == pytest.approx(torch.linalg.det(stack @ stack.T).item(), rel=1e-9)


@pytest.mark.parametrize("make", [Gram, Triangle])
def test_equal_modalities_leave_the_loss_of_guessing(make, rng):
    # If the two others coincide, every volume and area is 0: the known weakness of both.
    z = unit_batch(rng, 6)
    z[:, 2] = z[:, 1]
    available = torch.ones(6, 3, dtype=torch.bool)
    of_one_anchor = anchored_in_loops(
        volume if make is Gram else area, z[:, [0, 1, 2]], available, 1.0, 0.0
    )
    assert of_one_anchor > 0
    same = z[:, :1].expand(6, 3, 4)
    # All three coincide: anchor i against j ≠ i still spans an area of 0.
    found = loss_value(connected(make(label_smoothing=0.0)), same, temperature=1.0)
    assert found == pytest.approx(math.log(6), abs=1e-3)


def test_triangle_needs_three_modalities(rng):
    for modalities in (2, 4):
        with pytest.raises(ValueError, match=f"expected 3, found {modalities}"):
            connected(Triangle(), modalities=modalities)


@pytest.mark.parametrize("make", [Gram, Triangle])
def test_a_label_smoothing_of_one_is_refused(make):
    with pytest.raises(
        ValueError, match=r"label_smoothing is 1.0; expected at least 0 and below 1"
    ):
        make(label_smoothing=1.0)
