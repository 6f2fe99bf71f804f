"""Distilled CLIP equals known values, and is CLIP without the teacher's share."""

import pytest
import torch
from torch import Tensor

from clinical_symile.objectives.distilled import DistilledClip, distilled_loss
from clinical_symile.objectives.infonce import clip_loss
from tests.helpers.objective_values import loss_value, unit_batch

TEN = torch.tensor(10.0, dtype=torch.float64)


def test_it_has_its_golden_value(fixture_f: Tensor) -> None:
    pair, taught = (fixture_f[:, 0], fixture_f[:, 1]), (fixture_f[:, 2], fixture_f[:, 2])
    found = distilled_loss(pair, taught, TEN, share=0.4)
    assert found.item() == pytest.approx(12.187602144781, abs=1e-10)


def test_each_direction_has_the_teachers_own_targets(rng) -> None:
    x, y, x_slow, y_slow = (unit_batch(rng, 5)[:, 0] for _ in range(4))
    logits, slow = 10 * x @ y.T, 10 * x_slow @ y_slow.T
    expected = 0.0
    for of, taught in ((logits, slow), (logits.T, slow.T)):
        targets = 0.7 * torch.eye(5, dtype=torch.float64) + 0.3 * taught.softmax(dim=1)
        expected -= float((targets * of.log_softmax(dim=1)).sum(dim=1).mean()) / 2
    found = distilled_loss((x, y), (x_slow, y_slow), TEN, share=0.3)
    assert found.item() == pytest.approx(expected, rel=1e-10)


def test_without_the_teachers_share_it_is_clip(rng) -> None:
    z = unit_batch(rng, 6)
    available = torch.from_numpy(rng.random((6, 3)) < 0.8)
    available[:2] = True
    found = loss_value(DistilledClip(share=0.0).double(), z, available, temperature=0.1)
    assert found == pytest.approx(clip_loss(z, TEN, available=available).item(), rel=1e-12)


def test_the_teacher_has_no_gradient(rng) -> None:
    x, y = (unit_batch(rng, 4)[:, 0].requires_grad_() for _ in range(2))
    taught = tuple(unit_batch(rng, 4)[:, 0].requires_grad_() for _ in range(2))
    distilled_loss((x, y), (taught[0], taught[1]), TEN, share=0.5).backward()
    assert x.grad is not None
    assert taught[0].grad is None
    assert taught[1].grad is None


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"share is 2.*momentum is -1"):
        DistilledClip(share=2.0, momentum=-1.0)
