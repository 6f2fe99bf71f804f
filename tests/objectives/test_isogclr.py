"""iSogCLR equals known values, and its temperatures follow loops over three steps."""

import math

import pytest
import torch
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.side_information import SideInformation
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.isogclr import ISogClr
from tests.helpers.objective_values import connected, unit_batch

NAMES = ("cxr", "ecg")


def _step(objective: ISogClr, z: Tensor, rows: Tensor, *, progress: float = 0.0) -> Tensor:
    """The loss of a batch of two modalities, whose state is then kept."""
    every = torch.ones(len(z), 2, dtype=torch.bool)
    inputs = ObjectiveInput(
        Embeddings(z, every, NAMES, rows), SideInformation(rows), progress=progress
    )
    loss = objective.training_loss(inputs, group=None).total
    objective.after_step()
    return loss


def test_the_competition_and_its_mean_have_the_golden_values(fixture_f: Tensor) -> None:
    temperatures = torch.tensor([0.05, 0.1, 0.2, 0.4], dtype=torch.float64)
    objective = connected(ISogClr(gamma=1.0), modalities=2, dim=3)
    objective.temperatures[:4] = temperatures[:, None, None]
    # Both directions have the same queries and candidates.
    z = torch.stack([fixture_f[:, 0], fixture_f[:, 1]], dim=1)
    _step(objective, z, torch.arange(4))
    log_g = objective.log_u[:4, 0, 1]
    expected = [1748087734.5385, 26112.009923514546, 4567.376145704772, 3.205979009194]
    assert log_g.exp().tolist() == pytest.approx(expected, rel=1e-10)
    assert (temperatures * log_g).mean().item() == pytest.approx(1.058112579003, abs=1e-10)


def test_three_steps_have_the_temperatures_of_loops(rng) -> None:
    objective = connected(ISogClr(temperature=0.3, gamma=0.4, rho=0.1), modalities=2)
    kept: dict[tuple[int, int, int], tuple[float, float, float]] = {}
    batches = ([3, 19, 7, 0], [7, 5, 3, 11], [0, 7, 2, 5])
    for step, samples in enumerate(batches):
        z = unit_batch(rng, 4, modalities=2)
        loss = _step(objective, z, torch.tensor(samples), progress=step / 3)
        rate, value = 1e-4 + (1e-2 - 1e-4) * (1 + math.cos(math.pi * step / 3)) / 2, 0.0
        for a, b in ((0, 1), (1, 0)):
            for i, row in enumerate(samples):
                u, tau, slope = kept.get((row, a, b), (math.nan, 0.3, 0.0))
                gaps = [float(z[i, a] @ z[j, b] - z[i, a] @ z[i, b]) for j in range(4)]
                g = sum(math.exp(gap / tau) for gap in gaps) / 3
                u = g if math.isnan(u) else 0.6 * u + 0.4 * g
                value += tau * math.log(u) / 8
                weights = [math.exp(gap / tau) / (3 * u) for gap in gaps]
                expected = sum(w * gap / tau for w, gap in zip(weights, gaps, strict=True))
                new = min(max(math.log(u) + 0.1 - expected, -5.0), 5.0)
                slope = 0.9 * slope + 0.1 * new
                kept[row, a, b] = (u, min(max(tau - rate * slope, 0.005), 1.0), slope)
        assert loss.item() == pytest.approx(value, rel=1e-10)
    for (row, a, b), (u, tau, slope) in kept.items():
        found = [float(t[row, a, b]) for t in (objective.temperatures, objective.slopes)]
        assert objective.log_u[row, a, b].exp().item() == pytest.approx(u, rel=1e-10)
        assert found == pytest.approx([tau, slope], rel=1e-10)


def test_temperatures_stay_within_their_limits(rng) -> None:
    objective = connected(ISogClr(temperature=0.07, least=0.065, most=0.075), modalities=2)
    for _ in range(5):
        _step(objective, unit_batch(rng, 6, modalities=2), torch.arange(6))
    known = objective.temperatures[~objective.temperatures.isinf()]
    assert ((known >= 0.065 - 1e-12) & (known <= 0.075 + 1e-12)).all()
    assert known.std() > 0


def test_the_slope_of_a_temperature_is_that_of_the_robust_loss(rng) -> None:
    objective = connected(ISogClr(temperature=0.3, gamma=1.0, rho=0.1), modalities=2)
    z = unit_batch(rng, 5, modalities=2)
    _step(objective, z, torch.arange(5))
    # d/dτ of τ (ln g(τ) + rho), a tenth of which enters the moving average at first.
    temperatures = torch.full((5,), 0.3, dtype=torch.float64, requires_grad=True)
    gaps = z[:, 0] @ z[:, 1].T - (z[:, 0] * z[:, 1]).sum(dim=1)[:, None]
    g = (gaps / temperatures[:, None]).exp().sum(dim=1) / 4
    (slope,) = torch.autograd.grad((temperatures * (g.log() + 0.1)).sum(), temperatures)
    torch.testing.assert_close(objective.slopes[:5, 0, 1], 0.1 * slope.clamp(-5, 5))


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"least is 0.5 and most 1.0; expected limits around 0.07"):
        ISogClr(least=0.5)
    with pytest.raises(ValueError, match=r"least is 0.0; .* rho is inf"):
        ISogClr(least=0.0, rho=math.inf)
