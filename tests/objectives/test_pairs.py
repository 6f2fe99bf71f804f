"""Pairs and tokens hold only what a batch has."""

import pytest
import torch

from clinical_symile.objectives.pairs import batch_tokens, complete_pairs

Z = torch.arange(24.0).reshape(4, 3, 2)
SOME = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 0, 1], [0, 1, 0]], dtype=torch.bool)


def test_a_pair_has_the_samples_with_both_modalities():
    found = {(p.a, p.b): p for p in complete_pairs(Z, SOME, objective="a step")}
    assert set(found) == {(0, 1), (0, 2)}  # one sample has modalities 1 and 2
    assert torch.equal(found[0, 1].first, Z[[0, 1], 0])
    assert torch.equal(found[0, 1].second, Z[[0, 1], 1])
    assert found[0, 2].codes.tolist() == [0, 1]


def test_ordered_pairs_and_pairs_of_a_core():
    pairs = complete_pairs(Z, SOME, objective="a step", ordered=True)
    assert [(p.a, p.b) for p in pairs] == [(0, 1), (0, 2), (1, 0), (2, 0)]
    of_core = complete_pairs(Z, SOME, objective="a step", core=2)
    assert [(p.a, p.b) for p in of_core] == [(2, 0)]


def test_a_batch_without_a_pair_is_refused():
    alone = torch.eye(4, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match="a step needs at least 2 samples with the same two"):
        list(complete_pairs(Z, alone, objective="a step"))


def test_tokens_are_the_available_embeddings():
    tokens = batch_tokens(Z, SOME, objective="a step")
    assert tokens.counts.tolist() == [2, 3, 2, 1]
    assert tokens.samples.tolist() == [0, 0, 1, 1, 1, 2, 2, 3]
    assert tokens.modalities.tolist() == [0, 1, 0, 1, 2, 0, 2, 1]
    assert torch.equal(tokens.z[-1], Z[3, 1])
    assert tokens.codes.tolist() == list(range(8))


def test_tokens_need_two_samples_with_two_modalities():
    one = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.bool)
    with pytest.raises(ValueError, match=r"batch of 4 has 1\. Raise batch_size"):
        batch_tokens(Z, one, objective="a step")
