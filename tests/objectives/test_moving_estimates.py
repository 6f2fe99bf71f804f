"""Estimates move by gamma; the loss has their value and a gradient of its own."""

import math

import pytest
import torch

from clinical_symile.objectives.moving_estimates import moved_estimates, surrogate_loss


def test_an_estimate_moves_by_gamma_and_starts_at_the_first_value() -> None:
    before = torch.tensor([math.log(2.0), math.inf], dtype=torch.float64)
    new = torch.tensor([6.0, 5.0], dtype=torch.float64)
    found = moved_estimates(before, new.log(), 0.25).exp()
    assert found.tolist() == pytest.approx([0.75 * 2 + 0.25 * 6, 5.0])


def test_the_surrogate_has_the_value_of_the_estimates_and_weighs_the_gradient() -> None:
    log_g = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    log_u = torch.tensor([0.5, 3.0], dtype=torch.float64)
    temperatures = torch.tensor([0.1, 0.2], dtype=torch.float64)
    loss = surrogate_loss(log_g, log_u, temperatures)
    assert loss.item() == pytest.approx((0.1 * 0.5 + 0.2 * 3.0) / 2)
    loss.backward()
    assert log_g.grad is not None
    expected = [0.1 * math.exp(0.5) / 2, 0.2 * math.exp(-1.0) / 2]
    assert log_g.grad.tolist() == pytest.approx(expected)
