"""The AUC losses against their sums in loops and known values."""

import math
from itertools import combinations, permutations

import pytest
import torch

from clinical_symile.objectives.ranking import AucLoss, global_auc_loss, query_auc_loss
from tests.helpers.objective_values import loss_value, unit_batch


def softplus(x: float) -> float:
    return math.log1p(math.exp(-abs(x))) + max(x, 0)


def query_in_loops(x, y, scale):
    n = len(x)
    terms = [
        softplus(scale * float(x[i] @ y[j] - x[i] @ y[i]))
        for i in range(n)
        for j in range(n)
        if i != j
    ]
    return sum(terms) / len(terms)


def global_in_loops(x, y, scale):
    n = len(x)
    terms = [
        softplus(scale * float(x[j] @ y[k] - x[i] @ y[i]))
        for i in range(n)
        for j in range(n)
        for k in range(n)
        if j != k
    ]
    return sum(terms) / len(terms)


@pytest.mark.parametrize(
    ("over", "in_loops", "pairs"),
    [("query", query_in_loops, permutations), ("global", global_in_loops, combinations)],
)
def test_each_loss_is_its_sum_in_loops(over, in_loops, pairs, rng):
    z = unit_batch(rng, 5)
    available = torch.from_numpy(rng.random((5, 3)) < 0.8)
    available[:2] = True
    expected = []
    for a, b in pairs(range(3), 2):
        both = available[:, a] & available[:, b]
        expected.append(in_loops(z[both, a], z[both, b], 5.0))
    found = loss_value(AucLoss(over=over).double(), z, available, temperature=0.2)
    assert found == pytest.approx(sum(expected) / len(expected), rel=1e-12)


def test_they_have_their_known_values(fixture_f):
    x, y = fixture_f[:, 0], fixture_f[:, 1]
    ten = torch.tensor(10.0, dtype=torch.float64)
    assert query_auc_loss(x, y, ten).item() == pytest.approx(6.662508640992, abs=1e-11)
    assert global_auc_loss(x, y, ten).item() == pytest.approx(6.432135233399, abs=1e-11)


@pytest.mark.parametrize("loss", [query_auc_loss, global_auc_loss])
def test_gradients_are_those_of_finite_differences(loss, rng, monkeypatch):
    monkeypatch.setattr("clinical_symile.objectives.ranking._CELLS", 40)
    x, y = (torch.from_numpy(rng.standard_normal((4, 3))).requires_grad_() for _ in range(2))
    scale = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (x, y, scale))


def test_constant_scores_cost_the_logarithm_of_two():
    z = torch.zeros(4, 3, 2, dtype=torch.float64)
    for over in ("query", "global"):
        assert loss_value(AucLoss(over=over).double(), z) == pytest.approx(math.log(2))


def test_the_loss_bounds_what_the_area_lacks(rng):
    z = unit_batch(rng, 12, 2)
    scores = z[:, 0] @ z[:, 1].T
    own = scores.diagonal()
    wrong = [
        (scores[j, k] > own[i]).item()
        for i in range(12)
        for j in range(12)
        for k in range(12)
        if j != k
    ]
    loss = loss_value(AucLoss(over="global").double(), z, temperature=0.2)
    assert sum(wrong) / len(wrong) <= loss / math.log(2)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="over is 'all'; expected 'query' or 'global'"):
        AucLoss(over="all")
