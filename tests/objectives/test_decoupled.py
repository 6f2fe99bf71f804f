"""DCL against its definition in loops and known values."""

import math
from itertools import permutations

import pytest
import torch

from clinical_symile.objectives.decoupled import Dcl, dcl_loss
from tests.helpers.objective_values import loss_value, unit_batch


def dcl_in_loops(x, y, scale, *, within, sigma=None):
    n, total = len(x), 0.0
    own = [float(x[i] @ y[i]) for i in range(n)]
    shares = [math.exp(v / sigma) for v in own] if sigma else [1.0] * n
    for i in range(n):
        weight = 2 - n * shares[i] / sum(shares) if sigma else 1.0
        others = [float(x[i] @ y[j]) for j in range(n) if j != i]
        if within:
            others += [float(x[i] @ x[j]) for j in range(n) if j != i]
        total += math.log(sum(math.exp(scale * v) for v in others)) - weight * scale * own[i]
    return total / n


@pytest.mark.parametrize("within", [True, False])
@pytest.mark.parametrize("sigma", [None, 0.5])
def test_the_loss_is_its_definition_in_loops(within, sigma, rng):
    z = unit_batch(rng, 6)
    available = torch.from_numpy(rng.random((6, 3)) < 0.8)
    available[:2] = True
    expected = []
    for a, b in permutations(range(3), 2):
        both = available[:, a] & available[:, b]
        expected.append(dcl_in_loops(z[both, a], z[both, b], 5.0, within=within, sigma=sigma))
    objective = Dcl(within=within, weight_temperature=sigma).double()
    found = loss_value(objective, z, available, temperature=0.2)
    assert found == pytest.approx(sum(expected) / 6, rel=1e-11)


def test_it_has_its_known_values(fixture_f, without_last_labs):
    for within, whole, masked in (
        (True, 10.751615964254, 10.653603616212),
        (False, 10.405422734760, 10.432490374663),
    ):
        found = loss_value(Dcl(within=within).double(), fixture_f, temperature=0.1)
        assert found == pytest.approx(whole, abs=1e-10)
        found = loss_value(
            Dcl(within=within).double(), fixture_f, without_last_labs, temperature=0.1
        )
        assert found == pytest.approx(masked, abs=1e-10)
    ten = torch.tensor(10.0, dtype=torch.float64)
    for (a, b), plain, weighted in (
        ((0, 1), 12.139719248666, 13.502478532806),
        ((1, 0), 12.372129252451, 13.734888536591),
    ):
        x, y = fixture_f[:, a], fixture_f[:, b]
        assert dcl_loss(x, y, ten).item() == pytest.approx(plain, abs=1e-10)
        found = dcl_loss(x, y, ten, weight_temperature=0.5).item()
        assert found == pytest.approx(weighted, abs=1e-10)
    found = loss_value(Dcl(weight_temperature=0.5).double(), fixture_f, temperature=0.1)
    assert found == pytest.approx(14.373807938664, abs=1e-10)


def test_by_hand_on_the_axes():
    z = torch.eye(2, dtype=torch.float64)[:, None].expand(2, 2, 2)
    assert loss_value(Dcl().double(), z, temperature=1.0) == pytest.approx(math.log(2) - 1)
    assert loss_value(Dcl(within=False).double(), z, temperature=1.0) == pytest.approx(-1)


def test_the_gradient_of_a_positive_is_the_scale_alone():
    # Only negatives enter the denominator, so that x_i·y_i has slope -s / n however easy it is.
    x = torch.eye(3, dtype=torch.float64)
    y = torch.eye(3, dtype=torch.float64).requires_grad_()
    dcl_loss(x, y, torch.tensor(7.0, dtype=torch.float64), within=False).backward()
    assert y.grad is not None
    assert y.grad.diagonal().tolist() == pytest.approx([-7 / 3] * 3)


def test_a_weight_temperature_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match=r"weight_temperature is 0.0; expected a positive number"):
        Dcl(weight_temperature=0.0)
