"""Distilled CLIP equals known values, and is CLIP without the teacher's share."""

import math

import pytest
import torch
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.side_information import SideInformation
from clinical_symile.objectives.distilled import DistilledClip, teacher_loss
from clinical_symile.objectives.infonce import clip_loss
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.loss import Loss
from tests.helpers.objective_values import loss_value, unit_batch

TEN = torch.tensor(10.0, dtype=torch.float64)


def _loss(z: Tensor, taught: Tensor, *, share: float) -> Loss:
    """The loss of two modalities at temperature 0.1, with the teacher's embeddings given."""
    every, rows = torch.ones(z.shape[:2], dtype=torch.bool), torch.arange(len(z))
    batch, of_teacher = (Embeddings(v, every, ("cxr", "ecg"), rows) for v in (z, taught))
    objective = DistilledClip(share=share).double()
    assert objective.log_logit_scale is not None
    with torch.no_grad():
        objective.log_logit_scale.copy_(TEN.log())
    inputs = ObjectiveInput(batch, SideInformation(rows), teacher=of_teacher)
    return objective.training_loss(inputs, group=None)


def test_it_has_its_golden_value(fixture_f: Tensor) -> None:
    found = _loss(fixture_f[:, :2], fixture_f[:, [2, 2]], share=0.4)
    assert found.total.item() == pytest.approx(12.187602144781, abs=1e-10)


def test_each_direction_has_the_teachers_own_targets(rng) -> None:
    z, taught = (unit_batch(rng, 5, modalities=2) for _ in range(2))
    expected = {"own": 0.0, "teacher": 0.0}
    for a, b in ((0, 1), (1, 0)):
        for i in range(5):
            logits = [10 * float(z[i, a] @ z[j, b]) for j in range(5)]
            slow = [10 * float(taught[i, a] @ taught[j, b]) for j in range(5)]
            log_sum = math.log(sum(math.exp(value) for value in logits))
            slow_sum = sum(math.exp(value) for value in slow)
            expected["own"] -= 0.7 * (logits[i] - log_sum) / 10
            for j in range(5):
                target = math.exp(slow[j]) / slow_sum
                expected["teacher"] -= 0.3 * target * (logits[j] - log_sum) / 10
    found = _loss(z, taught, share=0.3)
    assert {k: v.item() for k, v in found.terms.items()} == pytest.approx(expected, rel=1e-10)
    assert found.total.item() == pytest.approx(sum(expected.values()), rel=1e-10)


def test_without_the_teachers_share_it_is_clip(rng) -> None:
    z = unit_batch(rng, 6)
    available = torch.from_numpy(rng.random((6, 3)) < 0.8)
    available[:2] = True
    found = loss_value(DistilledClip(share=0.0).double(), z, available, temperature=0.1)
    assert found == pytest.approx(clip_loss(z, TEN, available=available).item(), rel=1e-12)


def test_the_teacher_has_no_gradient(rng) -> None:
    x, y = (unit_batch(rng, 4)[:, 0].requires_grad_() for _ in range(2))
    taught = tuple(unit_batch(rng, 4)[:, 0].requires_grad_() for _ in range(2))
    teacher_loss((x, y), (taught[0], taught[1]), TEN).backward()
    assert x.grad is not None
    assert taught[0].grad is None
    assert taught[1].grad is None


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"share is 2.*momentum is -1"):
        DistilledClip(share=2.0, momentum=-1.0)
