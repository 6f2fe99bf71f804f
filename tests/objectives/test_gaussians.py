"""Gaussian embeddings: their divergence, and what is refused."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.gaussians import (
    divergence_from_standard,
    split_gaussian,
    summed_scores,
)


def _squared(left: Tensor, right: Tensor) -> Tensor:
    return (left[:, None] - right).square().sum(dim=2)


def test_the_divergences_of_the_modalities_have_the_golden_values(gaussian_fixture_f: Tensor):
    found = [divergence_from_standard(gaussian_fixture_f[:, m]).item() for m in range(3)]
    assert found == pytest.approx([0.552207320896, 0.558614295011, 0.552811998150], abs=1e-10)
    assert sum(found) / 3 == pytest.approx(0.554544538019, abs=1e-10)


def test_the_divergence_is_that_of_normal_distributions(generator: torch.Generator):
    z = torch.randn(7, 10, generator=generator, dtype=torch.float64)
    made = Normal(z[:, :5], (z[:, 5:] / 2).exp())
    standard = Normal(torch.zeros(5, dtype=torch.float64), torch.ones(5, dtype=torch.float64))
    expected = kl_divergence(made, standard).sum(dim=1).mean()
    torch.testing.assert_close(divergence_from_standard(z), expected, rtol=1e-12, atol=0)


def test_a_vector_of_odd_width_has_no_variances():
    means, logs = split_gaussian(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    assert (means.tolist(), logs.tolist()) == ([[1, 2]], [[3, 4]])
    with pytest.raises(ValueError, match="have width 5; expected an even one"):
        split_gaussian(torch.zeros(2, 5))


def test_a_score_sums_over_what_a_query_has_whatever_the_size_of_blocks(
    generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
):
    z = torch.randn(6, 3, 4, generator=generator, dtype=torch.float64)
    available = torch.ones(6, 3, dtype=torch.bool)
    available[2, 1] = False
    query = Embeddings(z, available, ("cxr", "ecg", "labs"), torch.arange(6), spread=True)
    candidates = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    found = summed_scores(query, candidates, target="cxr", compare=_squared)
    expected = _squared(z[:, 1], candidates) + _squared(z[:, 2], candidates)
    expected[2] = _squared(z[2:3, 2], candidates)
    torch.testing.assert_close(found, expected)
    monkeypatch.setattr("clinical_symile.objectives.gaussians.NUMBERS_AT_A_TIME", 1)
    assert torch.equal(summed_scores(query, candidates, target="cxr", compare=_squared), found)


def test_embeddings_without_variances_are_refused():
    query = Embeddings(
        torch.zeros(2, 2, 4), torch.ones(2, 2, dtype=torch.bool), ("a", "b"), torch.arange(2)
    )
    with pytest.raises(ValueError, match="have no log variances, which this score compares"):
        summed_scores(query, torch.zeros(3, 4), target="a", compare=_squared)
