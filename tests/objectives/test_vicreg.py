"""The terms of VICReg have the known values, and are those of the definition."""

import pytest
import torch

from clinical_symile.objectives.vicreg import vicreg_terms


def golden_embeddings(modality: int) -> torch.Tensor:
    """Four unit vectors of three numbers, by a formula."""
    rows = [[((7 * i + 3 * k + 5 * modality + i * k) % 11) - 5 for k in range(3)] for i in range(4)]
    return torch.nn.functional.normalize(torch.tensor(rows, dtype=torch.float64), dim=1)


def test_the_terms_of_two_modalities_have_the_known_values() -> None:
    terms = vicreg_terms(golden_embeddings(0), golden_embeddings(1))
    assert terms.invariance.item() == pytest.approx(0.970823699720, abs=1e-11)
    assert terms.variance.item() == pytest.approx(0.752685938606, abs=1e-11)
    assert terms.covariance.item() == pytest.approx(0.119651467498, abs=1e-11)


def test_the_covariance_is_that_of_the_matrix(rng) -> None:
    left, right = (torch.from_numpy(rng.standard_normal((6, 5))) for _ in range(2))
    expected = 0.0
    for vectors in (left, right):
        matrix = torch.cov(vectors.T)
        expected += (matrix.square().sum() - matrix.diag().square().sum()).item() / 5
    assert vicreg_terms(left, right).covariance.item() == pytest.approx(expected, rel=1e-12)
