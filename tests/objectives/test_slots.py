"""Slots of a batch are ready to compute with, and batches that are too small are refused."""

import pytest
import torch

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.slots import (
    complete_samples,
    filled_slots,
    modality_counts,
    no_pair,
    open_slots,
    prepare_slots,
)


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
    assert "this batch of 7 has no such pair" in str(no_pair(7, objective="clip"))


def test_slots_of_embeddings_have_their_substitutes_and_no_autocast():
    z = torch.full((2, 2, 3), torch.nan, dtype=torch.bfloat16)
    z[0] = 1.0
    available = torch.tensor([[True, True], [False, False]])
    batch = Embeddings(z, available, ("a", "b"), torch.arange(2), torch.full((2, 3), 2.0))
    expected = [[3.0, 3.0], [6.0, 6.0]]
    assert filled_slots(batch).sum(dim=2).tolist() == expected
    with torch.autocast("cpu", dtype=torch.bfloat16), open_slots(batch) as (slots, found):
        assert not torch.is_autocast_enabled("cpu")
        assert slots.sum(dim=2).tolist() == expected
        assert found.all()


def test_samples_are_counted_by_their_modalities_and_too_few_are_told():
    available = torch.tensor([[1, 1, 1], [1, 0, 1], [1, 1, 1], [0, 0, 0]], dtype=torch.bool)
    assert complete_samples(available, objective="a step").tolist() == [True, False, True, False]
    assert modality_counts(available, objective="a step").tolist() == [3, 2, 3, 0]
    with pytest.raises(ValueError, match=r"a step needs at least 2 complete .* of 2 has 1"):
        complete_samples(available[:2], objective="a step")
    with pytest.raises(ValueError, match=r"2 samples with two modalities or more; .* of 2 has 1"):
        modality_counts(available[2:], objective="a step")
