"""Alignment and uniformity against loops and known values."""

import math

import pytest
import torch

from clinical_symile.objectives.alignment_terms import alignment_loss, uniformity_loss
from tests.helpers.objective_values import unit_batch


def test_uniformity_is_the_mean_over_pairs(rng):
    z = unit_batch(rng, 6)
    for a, b in ((0, 0), (0, 1)):
        distances = [
            (z[i, a] - z[j, b]).square().sum() for i in range(6) for j in range(6) if i != j
        ]
        expected = math.log(sum(math.exp(-2 * distance) for distance in distances) / 30)
        assert uniformity_loss(z[:, a], z[:, b]).item() == pytest.approx(expected, rel=1e-12)


def test_alignment_and_uniformity_have_their_known_values(fixture_f, without_last_labs):
    z = fixture_f
    aligned = [alignment_loss(z[:, a], z[:, b]).item() for a, b in ((0, 1), (1, 2), (0, 2))]
    assert aligned == pytest.approx([2.912471099160, 2.917467663255, 2.226926461345], abs=1e-11)
    own = [uniformity_loss(z[:, m], z[:, m]).item() for m in range(3)]
    assert own == pytest.approx([-3.627645099396, -3.487994912851, -2.810045731684], abs=1e-11)
    across = [uniformity_loss(z[:, a], z[:, b]).item() for a, b in ((0, 1), (1, 2), (0, 2))]
    assert across == pytest.approx([-1.813189160384, -1.468907930766, -2.302205265206], abs=1e-11)
    three = z[:3, 2]
    assert uniformity_loss(three, three).item() == pytest.approx(-3.019075259428, abs=1e-11)


def test_opposite_unit_vectors_have_the_least_uniformity_of_two():
    z = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    assert uniformity_loss(z, z).item() == pytest.approx(-8)
    axes = torch.eye(2, dtype=torch.float64)
    assert uniformity_loss(axes, axes).item() == pytest.approx(-4)
