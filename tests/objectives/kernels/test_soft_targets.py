"""Cross-entropies with soft targets by tiles equal those of whole matrices, with gradients."""

from functools import partial

import pytest
import torch

from clinical_symile.objectives.kernels import soft_targets
from clinical_symile.objectives.kernels.scores import Excluded, reduce_scores
from clinical_symile.objectives.kernels.soft_targets import Targets, soft_target_losses


def _product(left, right, parameters):
    return left[0] @ right[0].T


def test_values_and_gradients_are_those_of_whole_matrices(
    monkeypatch: pytest.MonkeyPatch, generator: torch.Generator
):
    monkeypatch.setattr(soft_targets, "reduce_scores", partial(reduce_scores, tile_cells=6))
    x, y = (torch.randn(n, 4, generator=generator).double().requires_grad_() for n in (7, 5))
    a, b = (torch.randn(n, 3, generator=generator).double() for n in (7, 5))
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    losses, totals = soft_target_losses(x, y, scale, Targets(_product, [a], [b]))
    logits, weights = scale * x @ y.T, a @ b.T
    expected = -(weights.softmax(1) * logits.log_softmax(1)).sum(1)
    torch.testing.assert_close(losses, expected)
    torch.testing.assert_close(totals, weights.logsumexp(1))
    found = torch.autograd.grad(losses.square().sum(), [x, y, scale])
    for one, other in zip(
        found, torch.autograd.grad(expected.square().sum(), [x, y, scale]), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_a_row_without_a_target_loses_nothing_and_has_no_gradient(generator: torch.Generator):
    x = torch.randn(3, 4, generator=generator).requires_grad_()
    weight = torch.tensor([[0.0], [-torch.inf], [0.0]])

    def of_left(left, right, parameters):
        return left[0].expand(-1, len(right[0]))

    codes = torch.arange(3)
    losses, totals = soft_target_losses(
        x,
        x.detach(),
        torch.tensor(1.0),
        Targets(of_left, [weight], [weight]),
        excluded=Excluded(codes, codes),
    )
    assert (losses[1], totals[1]) == (0, -torch.inf)
    losses.sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert (x.grad[1] == 0).all()
