"""Focal CLIP against its definition and known values."""

import pytest
import torch

from clinical_symile.objectives.focal import FocalClip, focal_loss
from tests.helpers.dense import dense_clip_loss
from tests.helpers.objective_values import loss_value, unit_batch


def test_without_focus_it_is_clip(rng):
    z = unit_batch(rng, 6)
    available = torch.from_numpy(rng.random((6, 3)) < 0.8)
    available[:2] = True
    five = torch.tensor(5.0, dtype=torch.float64)
    found = loss_value(FocalClip(gamma=0.0).double(), z, available, temperature=0.2)
    assert found == pytest.approx(dense_clip_loss(z, five, available).item(), rel=1e-12)


def test_it_has_its_known_values(fixture_f):
    found = loss_value(FocalClip().double(), fixture_f[:, :2], temperature=0.1)
    assert found == pytest.approx(12.217870766001, abs=1e-10)
    logits = 10 * fixture_f[:, 0] @ fixture_f[:, 1].T
    one_way = focal_loss(logits.log_softmax(dim=1).diagonal(), 2.0).item()
    assert one_way == pytest.approx(12.101185990491, abs=1e-10)


def test_by_hand():
    log_p = torch.tensor([0.25, 0.5]).log()
    expected = -(0.75**2 * log_p[0] + 0.5**2 * log_p[1]).item() / 2
    assert focal_loss(log_p, 2.0).item() == pytest.approx(expected)


def test_a_certain_answer_costs_nothing_and_has_a_finite_gradient():
    for gamma in (0.0, 0.5, 2.0):
        log_p = torch.zeros(3, requires_grad=True)
        loss = focal_loss(log_p, gamma)
        loss.backward()
        assert loss.item() == 0
        assert log_p.grad is not None
        assert torch.isfinite(log_p.grad).all()


def test_a_negative_gamma_is_refused():
    with pytest.raises(ValueError, match=r"gamma is -1.0; expected a number of at least 0"):
        FocalClip(gamma=-1.0)
