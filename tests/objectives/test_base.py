import pytest
import torch

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.base import (
    inner_products,
    query_columns,
    query_embeddings,
)

MODALITIES = ("cxr", "ecg", "labs")


def _embeddings(
    available: list[list[int]], *, substitute: torch.Tensor | None = None
) -> Embeddings:
    there = torch.tensor(available, dtype=torch.bool)
    z = torch.arange(float(there.numel() * 2)).reshape(*there.shape, 2)
    return Embeddings(z, there, MODALITIES, torch.arange(len(there)), substitute)


def test_a_query_is_scored_with_all_modalities_but_the_target():
    assert query_columns(_embeddings([[1, 1, 0], [0, 0, 1]]), target="ecg") == [0, 2]


def test_queries_with_nothing_but_the_target_are_refused_with_their_number():
    with pytest.raises(ValueError, match="2 of 3 queries for 'ecg' have no other modality"):
        query_columns(_embeddings([[1, 1, 0], [0, 1, 0], [0, 0, 0]]), target="ecg")
    with pytest.raises(ValueError, match="target 'ekg' is not a modality of the query"):
        query_columns(_embeddings([[1, 1, 1]]), target="ekg")


def test_a_missing_modality_of_a_query_is_filled_unless_it_has_a_substitute():
    query = _embeddings([[1, 0, 1], [0, 1, 1]])
    found = query_embeddings(query, target="labs", fill=1.0)
    assert found.dtype == torch.float64
    assert found.tolist() == [[[0, 1], [1, 1]], [[1, 1], [8, 9]]]
    substitute = torch.tensor([[0.5, 0.25]] * 3)
    replaced = _embeddings([[1, 0, 1], [0, 1, 1]], substitute=substitute)
    found = query_embeddings(replaced, target="labs", fill=1.0)
    assert found.tolist() == [[[0, 1], [0.5, 0.25]], [[0.5, 0.25], [8, 9]]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inner_products_are_those_of_double_precision(
    dtype: torch.dtype, generator: torch.Generator
):
    query = torch.randn(3, 64, generator=generator).to(dtype)
    candidates = torch.randn(5, 64, generator=generator).to(dtype)
    found = inner_products(query, candidates)
    assert found.dtype == dtype
    exact = (query.double()[:, None] * candidates.double()).sum(dim=2)
    torch.testing.assert_close(found, exact.to(dtype), rtol=1e-6, atol=1e-6)
