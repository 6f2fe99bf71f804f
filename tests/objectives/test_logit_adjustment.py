"""Adjusted logits: values by hand, two classes, and what they are for."""

import math

import pytest
import torch
from torch.nn import functional

from clinical_symile.objectives.logit_adjustment import adjust_log_odds, adjust_logits, log_prior

LOGITS = torch.tensor([[2.0, 1.0, 0.0]], dtype=torch.float64)


def test_the_golden_values():
    """M56: prior (.7, .2, .1), y = 2; a uniform prior changes nothing."""

    def loss(logits: torch.Tensor) -> float:
        return functional.cross_entropy(logits, torch.tensor([2])).item()

    prior = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    assert loss(adjust_logits(LOGITS, prior)) == pytest.approx(4.063197082699, abs=1e-10)
    uniform = torch.full((3,), 1 / 3, dtype=torch.float64)
    assert loss(adjust_logits(LOGITS, uniform)) == pytest.approx(2.407605964444, abs=1e-10)
    assert loss(LOGITS) == pytest.approx(2.407605964444, abs=1e-10)
    assert torch.equal(adjust_logits(LOGITS, prior, weight=0.0), LOGITS)


@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_log_odds_are_the_case_of_two_classes(weight, generator):
    log_odds = torch.randn(7, 2, dtype=torch.float64, generator=generator)
    labels = torch.randint(0, 2, (7, 2), generator=generator)
    shares = torch.tensor([0.05, 0.6], dtype=torch.float64)
    found = functional.binary_cross_entropy_with_logits(
        adjust_log_odds(log_odds, shares, weight=weight), labels.double(), reduction="none"
    )
    for column, share in enumerate(shares):
        two = torch.stack([torch.zeros(7), log_odds[:, column]], dim=1)
        prior = torch.stack([1 - share, share])
        expected = functional.cross_entropy(
            adjust_logits(two, prior, weight=weight), labels[:, column], reduction="none"
        )
        torch.testing.assert_close(found[:, column], expected)


def test_a_uniform_prior_leaves_log_odds_as_they_are(generator):
    log_odds = torch.randn(5, 3, generator=generator)
    assert torch.equal(adjust_log_odds(log_odds, torch.full((3,), 0.5)), log_odds)


def test_the_log_prior_of_several_labels_is_a_sum_and_an_unknown_one_is_even():
    labels = torch.tensor([[1.0, 0.0], [0.0, math.nan], [math.nan, math.nan]], dtype=torch.float64)
    found = log_prior(labels, torch.tensor([0.2, 0.1], dtype=torch.float64))
    expected = [math.log(0.2 * 0.9), math.log(0.8 / 2), math.log(1 / 4)]
    assert found.tolist() == pytest.approx(expected, abs=1e-15)
    even = log_prior(labels, torch.tensor([0.5, 0.5], dtype=torch.float64))
    assert even.tolist() == pytest.approx([math.log(1 / 4)] * 3, abs=1e-15)


def test_rare_positives_are_found_more_often_and_balanced_accuracy_rises(generator):
    """One number, one in twenty positive: a line fitted with and without the adjustment."""
    positive = torch.arange(2000) % 20 == 0
    x = torch.randn(2000, dtype=torch.float64, generator=generator) + 1.5 * positive
    share = torch.tensor([0.05], dtype=torch.float64)

    def balanced_accuracy(weight: float) -> float:
        line = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        fit = torch.optim.LBFGS([line], max_iter=100, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            fit.zero_grad()
            log_odds = adjust_log_odds((line[0] * x + line[1])[:, None], share, weight=weight)
            value = functional.binary_cross_entropy_with_logits(log_odds[:, 0], positive.double())
            value.backward()
            return value

        fit.step(loss)
        called = (line[0] * x + line[1]).detach() > 0
        return (called[positive].double().mean() + (~called[~positive]).double().mean()).item() / 2

    plain, adjusted = balanced_accuracy(0.0), balanced_accuracy(1.0)
    # The best possible for two Gaussians 1.5 apart is Φ(0.75) = 0.773.
    assert plain < 0.6
    assert adjusted == pytest.approx(0.773, abs=0.03)
