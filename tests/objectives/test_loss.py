"""A loss is the sum of its terms."""

import pytest
import torch

from clinical_symile.objectives.loss import Loss, as_loss, sum_of_terms


def test_the_total_is_the_sum_of_the_terms_and_alone_has_a_gradient() -> None:
    x = torch.tensor(3.0, requires_grad=True)
    loss = sum_of_terms(near=2 * x, far=-x.square())
    assert loss.total.item() == pytest.approx(2 * 3 - 9)
    assert {name: value.item() for name, value in loss.terms.items()} == {"near": 6, "far": -9}
    loss.total.backward()
    assert x.grad == pytest.approx(2 - 6)
    assert not any(value.requires_grad for value in loss.terms.values())


def test_a_loss_of_one_term_has_no_names() -> None:
    value = torch.tensor(1.5)
    assert as_loss(value).total is value
    assert not as_loss(value).terms
    loss = Loss(value)
    assert as_loss(loss) is loss
