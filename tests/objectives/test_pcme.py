"""PCME++ equals known values and its formula in loops."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.pcme import Pcme, pcme_loss
from tests.helpers.objective_values import connected, loss_value

FIVE = torch.tensor(5.0, dtype=torch.float64)


def _distances(first: Tensor, second: Tensor) -> Tensor:
    """The expected squared distance of every pair, one pair after the other."""
    rows = []
    for a in first:
        (mean, log), row = a.chunk(2), []
        for b in second:
            other, other_log = b.chunk(2)
            row.append((mean - other).square().sum() + log.exp().sum() + other_log.exp().sum())
        rows.append(torch.stack(row))
    return torch.stack(rows)


def test_the_pairs_have_the_golden_values(gaussian_fixture_f: Tensor):
    z = gaussian_fixture_f
    found = [pcme_loss(z[:, a], z[:, b], FIVE, FIVE).item() for a, b in ((0, 1), (1, 2), (0, 2))]
    expected = [17.210285827562, 17.163300624526, 15.654912748734]
    assert found == pytest.approx(expected, abs=1e-10)
    objective = Pcme(divergence_weight=0.0)
    assert loss_value(objective.double(), z) == pytest.approx(sum(expected) / 3, abs=1e-10)


def test_the_loss_is_twice_the_cross_entropy_of_all_pairs_and_the_divergence(
    gaussian_fixture_f: Tensor, without_last_labs: Tensor
):
    z, losses = gaussian_fixture_f, []
    for a, b, samples in ((0, 1, 4), (0, 2, 3), (1, 2, 3)):
        logits = 5 - 5 * _distances(z[:samples, a], z[:samples, b])
        matched = torch.eye(samples, dtype=torch.float64)
        losses.append(2 * binary_cross_entropy_with_logits(logits, matched))
    expected = torch.stack(losses).mean().item()
    objective = Pcme(divergence_weight=0.0).double()
    assert loss_value(objective, z, without_last_labs) == pytest.approx(expected, abs=1e-10)
    added = loss_value(Pcme(divergence_weight=2.0).double(), z) - loss_value(objective, z)
    assert added == pytest.approx(2 * 0.554544538019, abs=1e-10)


def test_a_score_is_the_negative_distance_to_what_a_query_has(
    gaussian_fixture_f: Tensor, without_last_labs: Tensor
):
    z, names = gaussian_fixture_f, ("cxr", "ecg", "labs")
    query = Embeddings(z, without_last_labs, names, torch.arange(4), spread=True)
    scores = connected(Pcme()).score(query, z[:, 0], target="cxr")
    expected = -_distances(z[:, 1], z[:, 0])
    expected[:3] -= _distances(z[:3, 2], z[:, 0])
    torch.testing.assert_close(scores, expected)


def test_gradients_are_those_of_the_formula(generator: torch.Generator):
    first, second = (
        torch.randn(6, 8, generator=generator, dtype=torch.float64).requires_grad_()
        for _ in range(2)
    )
    scale, bias = FIVE.clone().requires_grad_(), FIVE.clone().requires_grad_()
    inputs = [first, second, scale, bias]
    found = torch.autograd.grad(pcme_loss(*inputs), inputs)
    logits = bias - scale * _distances(first, second)
    matched = torch.eye(6, dtype=torch.float64)
    plain = 2 * binary_cross_entropy_with_logits(logits, matched)
    for gradient, expected in zip(found, torch.autograd.grad(plain, inputs), strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-12)


def test_the_scale_and_the_bias_are_reported_and_checked():
    assert Pcme(distance_scale=2.0, bias=3.0).scalars() == {"distance_scale": 2.0, "bias": 3.0}
    with pytest.raises(ValueError, match=r"distance_scale is 0.0; expected a positive number"):
        Pcme(distance_scale=0.0)
    with pytest.raises(ValueError, match=r"divergence_weight is -1.0; expected"):
        Pcme(divergence_weight=-1.0)
