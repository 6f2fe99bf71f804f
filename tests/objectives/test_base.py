import pytest
import torch

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.base import (
    as_given,
    inner_products,
    query_availability,
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


def test_scores_are_in_single_precision_unless_candidates_are_not():
    scores = torch.ones(2, 3, dtype=torch.float64)
    for given, expected in ((torch.float64, torch.float64), (torch.float32, torch.float32)):
        assert as_given(scores, torch.ones(3, 4, dtype=given)).dtype == expected


def test_a_substitute_counts_as_available_for_a_query():
    query = [[1, 1, 0], [0, 0, 1]]
    found = query_availability(_embeddings(query), target="ecg")
    assert found.tolist() == [[True, False], [False, True]]
    filled = _embeddings(query, substitute=torch.tensor([[torch.nan] * 2, [1.0, 2.0], [3.0, 4.0]]))
    expected = filled.with_substitutes()[1][:, [0, 2]]
    assert torch.equal(query_availability(filled, target="ecg"), expected)
    assert expected.any(dim=0).all()
