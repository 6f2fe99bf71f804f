"""MoCo with its queue equals known values; the queue forgets the oldest keys first."""

import math

import pytest
import torch
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.side_information import SideInformation
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.queues import (
    QueueClip,
    extrapolated_products,
    kept_products,
    synthesised_keys,
)
from tests.helpers.objective_values import connected, unit_batch

NAMES = ("cxr", "ecg")


def _input(z: Tensor, keys: Tensor, available: Tensor | None = None) -> ObjectiveInput:
    """A batch of two modalities and what the teacher makes of it."""
    rows = torch.arange(len(z))
    every = torch.ones(z.shape[:2], dtype=torch.bool) if available is None else available
    batch, taught = (Embeddings(values, every, NAMES, rows) for values in (z, keys))
    return ObjectiveInput(batch, SideInformation(rows), teacher=taught)


def _filled(objective: QueueClip, keys: Tensor) -> QueueClip:
    """The objective at temperature 0.1 with the same keys in each queue."""
    objective = connected(objective, modalities=2, dim=3)
    assert objective.log_logit_scale is not None
    with torch.no_grad():
        objective.log_logit_scale.fill_(math.log(10))
        objective.queue[:, : len(keys)] = keys
        objective.entered += len(keys)
    return objective


@pytest.mark.parametrize(
    ("keep", "expected"), [(0, 11.063782084130), (4, 11.063782084130), (2, 11.061529417934)]
)
def test_one_direction_has_its_golden_value(keep: int, expected: float, fixture_f: Tensor) -> None:
    objective = _filled(QueueClip(size=8, keep=keep), fixture_f[:, 2])
    queries, keys = fixture_f[:, 0], fixture_f[:, 1]
    # The second direction contrasts the same queries with the same keys.
    z, taught = torch.stack([queries, queries], dim=1), torch.stack([keys, keys], dim=1)
    loss = objective.training_loss(_input(z, taught), group=None)
    assert loss.item() == pytest.approx(expected, abs=1e-6)  # the scale is kept in float32
    scaled = 10 * (queries * keys).sum(dim=1)
    negatives = 10 * kept_products(queries @ fixture_f[:, 2].T, keep)
    exact = torch.cat([scaled[:, None], negatives], dim=1).logsumexp(dim=1) - scaled
    assert exact.mean().item() == pytest.approx(expected, abs=1e-10)


def test_an_empty_queue_is_stood_in_for_by_the_batch(rng) -> None:
    z = unit_batch(rng, 5, modalities=2, dim=3)
    objective = _filled(QueueClip(size=8), torch.zeros(0, 3))
    loss = objective.training_loss(_input(z, z), group=None)
    logits = objective.logit_scale.detach() * z[:, 0] @ z[:, 1].T
    expected = (
        -(logits.log_softmax(dim=1).diagonal() + logits.T.log_softmax(dim=1).diagonal()).mean() / 2
    )
    torch.testing.assert_close(loss.detach(), expected)
    for options in ({"keep": 2}, {"synthesised": 2}):
        other = _filled(QueueClip(size=8, **options), torch.zeros(0, 3))
        drawn = torch.Generator().manual_seed(0)
        found = other.training_loss(_input(z, z), group=None, generator=drawn)
        found.backward()
        assert torch.isfinite(found)
        assert other.log_logit_scale is not None
        gradient = other.log_logit_scale.grad
        assert gradient is not None
        assert torch.isfinite(gradient)


def test_the_oldest_keys_leave_first_and_missing_ones_never_enter(rng) -> None:
    objective = connected(QueueClip(size=4), modalities=2, dim=3)
    z = unit_batch(rng, 6, modalities=2, dim=3)
    available = torch.ones(3, 2, dtype=torch.bool)
    available[1, 1] = False
    keys = z.clone()
    keys[:3][~available] = torch.nan
    objective.after_step(_input(z[:3], keys[:3], available))
    assert objective.entered.tolist() == [3, 2]
    assert torch.equal(objective.queue[0, :3], z[:3, 0])
    assert torch.equal(objective.queue[1, :2], z[[0, 2], 1])
    objective.after_step(_input(z[3:], keys[3:]))
    assert torch.equal(objective.queue[0], z[[4, 5, 2, 3], 0])
    assert torch.equal(objective.queue[1], z[[5, 2, 3, 4], 1][[0, 1, 2, 3]])


def test_keys_have_no_gradient_and_are_not_saved(rng) -> None:
    objective = _filled(QueueClip(size=8), unit_batch(rng, 4)[:, 0, :3])
    z = unit_batch(rng, 4, modalities=2, dim=3).requires_grad_()
    keys = unit_batch(rng, 4, modalities=2, dim=3)
    objective.training_loss(_input(z, keys), group=None).backward()
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


def test_synthesised_keys_have_length_one_and_lean_towards_the_query(rng) -> None:
    queries, hard = unit_batch(rng, 6)[:, 0], unit_batch(rng, 6, modalities=5)
    drawn = torch.Generator().manual_seed(0)
    found = synthesised_keys(queries, hard, 8, drawn)
    assert found.shape == (6, 12, 4)
    torch.testing.assert_close(found.norm(dim=2), torch.ones(6, 12, dtype=torch.float64))
    least = torch.einsum("qd,qkd->qk", queries, hard).min(dim=1).values[:, None]
    assert (torch.einsum("qd,qkd->qk", queries, found[:, 8:]) >= least - 1e-12).all()


def test_what_cannot_be_used_is_refused() -> None:
    with pytest.raises(ValueError, match=r"momentum is 2.*keep is 9.*extrapolation is -1"):
        QueueClip(size=8, momentum=2.0, keep=9, extrapolation=-1.0)
    with pytest.raises(ValueError, match="shorter than a batch of 16"):
        QueueClip(size=8).begin_training(rows=100, batch_size=16)
