import pytest
import torch

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.base import (
    inner_products,
    no_pair_message,
    prepare_slots,
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


def test_slots_are_zero_where_nothing_is_available_and_all_are_unless_told():
    z = torch.full((2, 3, 4), torch.nan)
    z[0] = 1.0
    available = torch.tensor([[True, False, True], [False, False, False]])
    slots, found = prepare_slots(z, available)
    assert found is available
    assert slots.sum(dim=2).tolist() == [[4, 0, 4], [0, 0, 0]]
    assert prepare_slots(z, None)[1].all()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_slots_have_at_least_single_precision(given: torch.dtype, kept: torch.dtype):
    assert prepare_slots(torch.ones(2, 2, 3, dtype=given), None)[0].dtype == kept


def test_one_modality_is_refused():
    with pytest.raises(ValueError, match="embeddings have 1 modality"):
        prepare_slots(torch.ones(2, 1, 3), None)


def test_a_batch_without_a_pair_is_told_with_its_size():
    assert "this batch of 7 has no such pair" in no_pair_message(7, objective="clip")
