"""MoCo with its queue equals loops and known values; the oldest keys leave the queue first."""

import math

import pytest
import torch
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.side_information import SideInformation
from clinical_symile.objectives.hard_keys import synthesised_keys
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.queues import QueueClip, extrapolated_products
from tests.helpers.objective_values import connected, unit_batch

NAMES = ("cxr", "ecg")


def _input(z: Tensor, keys: Tensor, available: Tensor | None = None) -> ObjectiveInput:
    """A batch of two modalities and what the teacher makes of it."""
    rows = torch.arange(len(z))
    every = torch.ones(z.shape[:2], dtype=torch.bool) if available is None else available
    batch, taught = (Embeddings(values, every, NAMES, rows) for values in (z, keys))
    return ObjectiveInput(batch, SideInformation(rows), teacher=taught)


def _filled(objective: QueueClip, keys: Tensor, *, scale: float = 10.0) -> QueueClip:
    """The objective at a logit scale with the same keys in each queue."""
    objective = connected(objective, modalities=2, dim=3)
    assert objective.log_logit_scale is not None
    with torch.no_grad():
        objective.log_logit_scale.copy_(torch.tensor(scale, dtype=torch.float64).log())
        objective.queue[:, : len(keys)] = keys
        objective.entered += len(keys)
    return objective


def _in_loops(z: Tensor, keys: Tensor, queues: list[list[Tensor]], keep: int) -> float:
    """The loss at scale 10 written out; an empty queue is the keys of other samples."""
    total = 0.0
    for a, b in ((0, 1), (1, 0)):
        for i in range(len(z)):
            others = [keys[j, b] for j in range(len(z)) if j != i]
            negatives = sorted((float(z[i, a] @ key) for key in queues[b] or others), reverse=True)
            own = 10 * float(z[i, a] @ keys[i, b])
            competing = [math.exp(10 * value) for value in negatives[: keep or None]]
            total -= (own - math.log(math.exp(own) + sum(competing))) / (2 * len(z))
    return total


@pytest.mark.parametrize(
    ("keep", "expected"), [(0, 11.063782084130), (4, 11.063782084130), (2, 11.061529417934)]
)
def test_one_direction_has_its_golden_value(keep: int, expected: float, fixture_f: Tensor) -> None:
    objective = _filled(QueueClip(size=8, keep=keep), fixture_f[:, 2])
    queries, keys = fixture_f[:, 0], fixture_f[:, 1]
    # The second direction contrasts the same queries with the same keys.
    z, taught = torch.stack([queries, queries], dim=1), torch.stack([keys, keys], dim=1)
    loss = objective.training_loss(_input(z, taught), group=None).total
    assert loss.item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("keep", [0, 2, 5])
def test_three_steps_are_those_of_queues_kept_by_hand(keep: int, rng) -> None:
    objective = _filled(QueueClip(size=6, keep=keep), torch.zeros(0, 3))
    queues: list[list[Tensor]] = [[], []]
    for step in range(3):
        z, keys = (unit_batch(rng, 4, modalities=2, dim=3) for _ in range(2))
        loss = objective.training_loss(_input(z, keys), group=None).total
        assert loss.item() == pytest.approx(_in_loops(z, keys, queues, keep), rel=1e-10), step
        objective.after_step()
        for m in range(2):
            queues[m] = [*queues[m], *keys[:, m]][-6:]


def test_a_loss_without_a_step_leaves_the_queues_as_they_are(rng) -> None:
    objective = _filled(QueueClip(size=8), torch.zeros(0, 3))
    z = unit_batch(rng, 4, modalities=2, dim=3)
    for _ in range(2):
        objective.training_loss(_input(z, z), group=None)
    assert objective.entered.tolist() == [0, 0]
    objective.after_step()
    objective.after_step()
    assert objective.entered.tolist() == [4, 4]


def test_in_the_first_step_nothing_is_synthesised(rng) -> None:
    z = unit_batch(rng, 5, modalities=2, dim=3)
    drawn = torch.Generator().manual_seed(0)
    plain, mixing = (
        _filled(QueueClip(size=8, synthesised=count), torch.zeros(0, 3)) for count in (0, 2)
    )
    expected = plain.training_loss(_input(z, z), group=None).total
    assert mixing.training_loss(_input(z, z), group=None, generator=drawn).total == expected


def test_synthesised_keys_compete_beside_those_of_the_queue(rng) -> None:
    z, keys = (unit_batch(rng, 4, modalities=2, dim=3) for _ in range(2))
    bank = unit_batch(rng, 6)[:, 0, :3]
    objective = _filled(QueueClip(size=8, keep=3, synthesised=3, hardest=4), bank)
    drawn = torch.Generator().manual_seed(0)
    found = objective.training_loss(_input(z, keys), group=None, generator=drawn).total
    drawn, expected = torch.Generator().manual_seed(0), 0.0
    for a, b in ((0, 1), (1, 0)):
        mixed = synthesised_keys(z[:, a], bank, 3, hardest=4, generator=drawn)
        for i in range(4):
            kept = sorted((float(z[i, a] @ key) for key in bank), reverse=True)[:3]
            added = [float(z[i, a] @ key) for key in mixed[i]]
            own = 10 * float(z[i, a] @ keys[i, b])
            competing = sum(math.exp(10 * value) for value in [*kept, *added])
            expected -= (own - math.log(math.exp(own) + competing)) / 8
    assert found.item() == pytest.approx(expected, rel=1e-10)


def test_extrapolated_positives_are_drawn_and_enter_the_loss(rng) -> None:
    z, keys = (unit_batch(rng, 4, modalities=2, dim=3) for _ in range(2))
    bank = unit_batch(rng, 6)[:, 0, :3]
    objective = _filled(QueueClip(size=8, extrapolation=0.5), bank)
    drawn = torch.Generator().manual_seed(0)
    found = objective.training_loss(_input(z, keys), group=None, generator=drawn).total
    drawn, expected = torch.Generator().manual_seed(0), 0.0
    for a, b in ((0, 1), (1, 0)):
        factors = 1 + 0.5 * torch.rand(4, generator=drawn, dtype=torch.float64)
        for i, factor in enumerate(factors):
            x, y = z[i, a], keys[i, b]
            pushed = (factor * x + (1 - factor) * y) @ (factor * y + (1 - factor) * x)
            own = 10 * float(pushed)
            competing = sum(math.exp(10 * float(x @ key)) for key in bank)
            expected -= (own - math.log(math.exp(own) + competing)) / 8
    assert found.item() == pytest.approx(expected, rel=1e-10)


def test_the_oldest_keys_leave_first_and_missing_ones_never_enter(rng) -> None:
    objective = connected(QueueClip(size=4), modalities=2, dim=3)
    z = unit_batch(rng, 6, modalities=2, dim=3)
    available = torch.ones(3, 2, dtype=torch.bool)
    available[1, 1] = False
    keys = z.clone()
    keys[:3][~available] = torch.nan
    objective.training_loss(_input(z[:3], keys[:3], available), group=None)
    objective.after_step()
    assert objective.entered.tolist() == [3, 2]
    assert torch.equal(objective.queue[0, :3], z[:3, 0])
    assert torch.equal(objective.queue[1, :2], z[[0, 2], 1])
    objective.training_loss(_input(z[3:], keys[3:]), group=None)
    objective.after_step()
    assert torch.equal(objective.queue[0], z[[4, 5, 2, 3], 0])
    assert torch.equal(objective.queue[1], z[[5, 2, 3, 4], 1])


def test_keys_have_no_gradient_and_are_not_saved(rng) -> None:
    objective = _filled(QueueClip(size=8), unit_batch(rng, 4)[:, 0, :3])
    z = unit_batch(rng, 4, modalities=2, dim=3).requires_grad_()
    keys = unit_batch(rng, 4, modalities=2, dim=3)
    objective.training_loss(_input(z, keys), group=None).total.backward()
    assert z.grad is not None
    assert not objective.queue.requires_grad
    assert set(objective.state_dict()) == {"log_logit_scale"}


def test_extrapolated_positives_have_the_golden_values(fixture_f: Tensor) -> None:
    x, y = fixture_f[:, 0], fixture_f[:, 1]
    factors = torch.full((4,), 1.5, dtype=torch.float64)
    expected = [-2.361058400242, -2.468245836552, -3.886363636364, -1.846687622641]
    assert extrapolated_products(x, y, factors).tolist() == pytest.approx(expected, abs=1e-10)
    same = extrapolated_products(x, y, torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(same, (x * y).sum(dim=1))


def test_what_cannot_be_used_is_refused() -> None:
    with pytest.raises(ValueError, match=r"momentum is 2.*extrapolation is -1.*keep is 9"):
        QueueClip(size=8, momentum=2.0, keep=9, extrapolation=-1.0)
    with pytest.raises(ValueError, match="shorter than a batch of 16"):
        QueueClip(size=8).begin_training(rows=100, batch_size=16)
