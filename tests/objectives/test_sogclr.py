"""SogCLR equals loops over three steps, and at gamma = 1 has the gradient of the batch."""

import math

import pytest
import torch
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.evaluation.leak_checks.fixtures import toy_input
from clinical_symile.objectives.isogclr import ISogClr
from clinical_symile.objectives.sogclr import SogClr
from tests.helpers.objective_values import connected, loss_value, toy_loss, unit_batch

NAMES = ("cxr", "ecg", "labs")
ORDERED = [(a, b) for a in range(3) for b in range(3) if a != b]


def _competition(x: Tensor, y: Tensor, temperature: float) -> Tensor:
    """g_i of each row, from the matrix of all products."""
    gaps = x @ y.T - (x * y).sum(dim=1)[:, None]
    return (gaps / temperature).exp().sum(dim=1) / (len(x) - 1)


def test_at_gamma_one_the_gradient_is_that_of_the_batch(rng) -> None:
    z = unit_batch(rng, 6).requires_grad_()
    objective = connected(SogClr(temperature=0.2, gamma=1.0))
    every = torch.ones(6, 3, dtype=torch.bool)
    loss = toy_loss(objective, Embeddings(z, every, NAMES, torch.arange(6)))
    terms = [(0.2 * _competition(z[:, a], z[:, b], 0.2).log()).mean() for a, b in ORDERED]
    expected = torch.stack(terms).mean()
    torch.testing.assert_close(loss, expected)
    (found,), (wanted,) = (torch.autograd.grad(value, z) for value in (loss, expected))
    torch.testing.assert_close(found, wanted)


def test_three_steps_have_the_values_and_gradients_of_estimates_kept_by_hand(rng) -> None:
    objective = connected(SogClr(temperature=0.2, gamma=0.3))
    estimates: dict[tuple[int, int, int], float] = {}
    for samples in ([3, 19, 7, 0], [7, 5, 3, 11], [0, 7, 2, 5]):
        z = unit_batch(rng, 4).requires_grad_()
        every, rows = torch.ones(4, 3, dtype=torch.bool), torch.tensor(samples)
        loss = toy_loss(objective, Embeddings(z, every, NAMES, rows))
        objective.after_step()
        value, weighted = 0.0, []
        for a, b in ORDERED:
            for i, row in enumerate(samples):
                gaps = [z[i, a] @ z[j, b] - z[i, a] @ z[i, b] for j in range(4)]
                g = torch.stack([(gap / 0.2).exp() for gap in gaps]).sum() / 3
                before = estimates.get((row, a, b), float(g.detach()))
                estimates[row, a, b] = u = 0.7 * before + 0.3 * float(g.detach())
                value += 0.2 * math.log(u) / 24
                weighted.append(0.2 * g / u / 24)
        assert loss.item() == pytest.approx(value, rel=1e-10)
        expected = torch.stack(weighted).sum()
        (found,), (wanted,) = (torch.autograd.grad(v, z) for v in (loss, expected))
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    kept = {
        (int(row), int(a), int(b)): objective.log_u[row, a, b].exp().item()
        for row, a, b in (~objective.log_u.isinf()).nonzero()
    }
    assert kept == pytest.approx(estimates, rel=1e-10)


@pytest.mark.parametrize("make", [SogClr, ISogClr])
def test_estimates_of_a_step_are_kept_for_the_samples_that_it_had(make, rng) -> None:
    objective = connected(make())
    available = torch.ones(6, 3, dtype=torch.bool)
    available[2, 1] = False
    rows = torch.tensor([3, 19, 7, 0, 11, 5])
    batch = Embeddings(unit_batch(rng, 6), available, NAMES, rows)
    objective.training_loss(toy_input(objective, batch), group=None)
    assert objective.log_u.isinf().all()
    objective.after_step()
    seen = torch.zeros(len(objective.log_u), dtype=torch.bool)
    seen[rows] = True
    assert torch.equal(~objective.log_u[:, 0, 2].isinf(), seen)
    seen[7] = False
    assert torch.equal(~objective.log_u[:, 0, 1].isinf(), seen)
    assert objective.state_dict() == {}


def test_a_hidden_slot_changes_nothing(rng) -> None:
    z = unit_batch(rng, 6)
    available = torch.ones(6, 3, dtype=torch.bool)
    available[1, 2] = False
    others = [
        loss_value(connected(SogClr()), z[[0, 2, 3, 4, 5]]),
        loss_value(connected(SogClr()), z),
    ]
    assert others[0] != loss_value(connected(SogClr()), z, available) != others[1]


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"temperature is 0.*gamma is 2"):
        SogClr(temperature=0.0, gamma=2.0)
