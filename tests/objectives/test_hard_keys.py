"""The hardest keys of a query are the most similar ones, and mixtures lean towards it."""

import torch

from clinical_symile.objectives.hard_keys import kept_score, least_kept, synthesised_keys
from clinical_symile.objectives.kernels.scores import Excluded
from tests.helpers.objective_values import unit_batch


def test_as_many_keys_are_kept_as_asked_for_and_equal_ones_together(rng) -> None:
    queries, bank = unit_batch(rng, 3)[:, 0], unit_batch(rng, 7)[:, 0]
    products, ones = queries @ bank.T, torch.ones((), dtype=torch.float64)
    for keep, expected in ((0, 7), (1, 1), (4, 4), (7, 7), (99, 7)):
        least = least_kept(queries, bank, keep, None)
        scores = kept_score([queries, least], [bank], [ones])
        kept = scores > -torch.inf
        assert (kept.sum(dim=1) == expected).all()
        hardest = products.topk(expected, dim=1).values.sum(dim=1)
        torch.testing.assert_close(scores.masked_fill(~kept, 0).sum(dim=1), hardest)
    twice = torch.cat([bank, bank])
    least = least_kept(queries, twice, 3, None)
    assert ((kept_score([queries, least], [twice], [ones]) > -torch.inf).sum(dim=1) == 4).all()


def test_a_samples_own_key_is_not_among_its_hardest(rng) -> None:
    keys, codes = unit_batch(rng, 5)[:, 0], torch.arange(5)
    found = least_kept(keys, keys, 1, Excluded(codes, codes))
    others = (keys @ keys.T).fill_diagonal_(-torch.inf)
    torch.testing.assert_close(found, others.max(dim=1).values)


def test_synthesised_keys_have_length_one_and_lean_towards_the_query(rng) -> None:
    queries, bank = unit_batch(rng, 6)[:, 0], unit_batch(rng, 20)[:, 0]
    drawn = torch.Generator().manual_seed(0)
    found = synthesised_keys(queries, bank, 8, hardest=5, generator=drawn)
    assert found.shape == (6, 12, 4)
    torch.testing.assert_close(found.norm(dim=2), torch.ones(6, 12, dtype=torch.float64))
    least = (queries @ bank.T).topk(5, dim=1).values[:, -1:]
    assert (torch.einsum("qd,qkd->qk", queries, found[:, 8:]) >= least - 1e-12).all()
