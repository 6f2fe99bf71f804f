"""SogCLR equals known values, and at gamma = 1 has the gradient of the batch."""

import math

import pytest
import torch
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.evaluation.leak_checks.fixtures import toy_input
from clinical_symile.objectives.sogclr import ISogClr, SogClr, moved_estimates, surrogate_loss
from tests.helpers.objective_values import connected, loss_value, toy_loss, unit_batch

NAMES = ("cxr", "ecg", "labs")


def _competition(x: Tensor, y: Tensor, temperatures: Tensor) -> Tensor:
    """g_i of each row, from the matrix of all products."""
    gaps = x @ y.T - (x * y).sum(dim=1)[:, None]
    return (gaps / temperatures[:, None]).exp().sum(dim=1) / (len(x) - 1)


def test_the_competition_and_its_mean_have_the_golden_values(fixture_f: Tensor) -> None:
    temperatures = torch.tensor([0.05, 0.1, 0.2, 0.4], dtype=torch.float64)
    objective = connected(ISogClr(gamma=1.0), dim=3)
    objective.begin_training(rows=4, batch_size=4)
    objective.double()
    objective.temperatures[:] = temperatures[:, None, None]
    every, rows = torch.ones(4, 2, dtype=torch.bool), torch.arange(4)
    batch = Embeddings(fixture_f[:, :2], every, NAMES[:2], rows)
    toy_loss(objective, batch)
    (_, a, b), found = objective._found[0]
    assert (a, b) == (0, 1)
    expected = [1748087734.5385, 26112.009923514546, 4567.376145704772, 3.205979009194]
    assert found["log_u"].exp().tolist() == pytest.approx(expected, rel=1e-10)
    mean = float((temperatures * found["log_u"]).mean())
    assert mean == pytest.approx(1.058112579003, abs=1e-10)
    assert surrogate_loss(found["log_u"], found["log_u"], temperatures).item() == pytest.approx(
        mean
    )


def test_at_gamma_one_the_gradient_is_that_of_the_batch(rng) -> None:
    z = unit_batch(rng, 6).requires_grad_()
    objective = connected(SogClr(temperature=0.2, gamma=1.0))
    every = torch.ones(6, 3, dtype=torch.bool)
    loss = toy_loss(objective, Embeddings(z, every, NAMES, torch.arange(6)))
    temperatures = torch.full((6,), 0.2, dtype=torch.float64)
    terms = [
        (temperatures * _competition(z[:, a], z[:, b], temperatures).log()).mean()
        for a in range(3)
        for b in range(3)
        if a != b
    ]
    expected = torch.stack(terms).mean()
    torch.testing.assert_close(loss, expected)
    (found,), (wanted,) = (torch.autograd.grad(value, z) for value in (loss, expected))
    torch.testing.assert_close(found, wanted)


def test_an_estimate_moves_by_gamma_and_starts_at_the_first_value() -> None:
    before = torch.tensor([math.log(2.0), math.inf], dtype=torch.float64)
    new = torch.tensor([6.0, 5.0], dtype=torch.float64)
    found = moved_estimates(before, new.log(), 0.25).exp()
    assert found.tolist() == pytest.approx([0.75 * 2 + 0.25 * 6, 5.0])


@pytest.mark.parametrize("make", [SogClr, ISogClr])
def test_estimates_of_a_step_are_kept_for_the_samples_that_it_had(make, rng) -> None:
    objective = connected(make())
    objective.begin_training(rows=20, batch_size=6)
    available = torch.ones(6, 3, dtype=torch.bool)
    available[2, 1] = False
    rows = torch.tensor([3, 19, 7, 0, 11, 5])
    batch = Embeddings(unit_batch(rng, 6), available, NAMES, rows)
    inputs = toy_input(objective, batch)
    objective.training_loss(inputs, group=None)
    assert objective.log_u.isinf().all()
    objective.after_step(inputs.detached())
    seen = torch.zeros(20, dtype=torch.bool)
    seen[rows] = True
    assert torch.equal(~objective.log_u[:, 0, 2].isinf(), seen)
    seen[7] = False
    assert torch.equal(~objective.log_u[:, 0, 1].isinf(), seen)
    assert objective.state_dict() == {}


def test_temperatures_stay_within_their_limits(rng) -> None:
    objective = connected(ISogClr(temperature=0.07, least=0.065, most=0.075))
    objective.begin_training(rows=6, batch_size=6)
    every = torch.ones(6, 3, dtype=torch.bool)
    for _ in range(5):
        inputs = toy_input(objective, Embeddings(unit_batch(rng, 6), every, NAMES, torch.arange(6)))
        objective.training_loss(inputs, group=None)
        objective.after_step(inputs.detached())
    known = objective.temperatures[~objective.temperatures.isinf()]
    assert ((known >= 0.065 - 1e-7) & (known <= 0.075 + 1e-7)).all()
    assert known.std() > 0


def test_the_slope_of_a_temperature_is_that_of_the_robust_loss(rng) -> None:
    objective = connected(ISogClr(temperature=0.3, gamma=1.0, rho=0.1))
    every, z = torch.ones(5, 2, dtype=torch.bool), unit_batch(rng, 5, modalities=2)
    toy_loss(objective, Embeddings(z, every, NAMES[:2], torch.arange(5)))
    _, found = objective._found[0]
    # d/dτ of τ (ln g(τ) + rho), a tenth of which enters the moving average at first.
    temperatures = torch.full((5,), 0.3, dtype=torch.float64, requires_grad=True)
    robust = temperatures * (_competition(z[:, 0], z[:, 1], temperatures).log() + 0.1)
    (slope,) = torch.autograd.grad(robust.sum(), temperatures)
    torch.testing.assert_close(found["slopes"], 0.1 * slope.clamp(-5, 5))


def test_a_hidden_slot_changes_nothing(rng) -> None:
    z = unit_batch(rng, 6)
    available = torch.ones(6, 3, dtype=torch.bool)
    available[1, 2] = False
    assert math.isfinite(loss_value(connected(SogClr()), z, available))


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"temperature is 0.*gamma is 2"):
        SogClr(temperature=0.0, gamma=2.0)
    with pytest.raises(ValueError, match=r"least is 0.5 and most 1.0"):
        ISogClr(least=0.5)
