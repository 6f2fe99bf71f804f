"""Queries are grouped by what they have, and equal candidates have equal products."""

import torch

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.exact_products import exact_inner_products, queries_by_pattern
from tests.helpers.objective_values import MODALITIES, unit_batch


def test_each_query_is_in_the_group_of_what_it_has(rng):
    z = unit_batch(rng, 5)
    available = torch.tensor(
        [[1, 1, 1], [1, 1, 0], [0, 0, 1], [1, 1, 1], [0, 1, 0]], dtype=torch.bool
    )
    query = Embeddings(z, available, MODALITIES[:3], torch.arange(5))
    found = {
        tuple(rows.tolist()): others for rows, others in queries_by_pattern(query, target="cxr")
    }
    assert set(found) == {(0, 3), (1, 4), (2,)}
    assert torch.equal(found[0, 3], z[[0, 3], 1:])
    assert torch.equal(found[1, 4], z[[1, 4], 1:2])
    assert torch.equal(found[(2,)], z[2:3, 2:])


def test_products_are_those_of_the_matrices_some_queries_at_a_time(rng, monkeypatch):
    monkeypatch.setattr("clinical_symile.objectives.exact_products._CELLS", 30)
    others, candidates = unit_batch(rng, 7, 2), unit_batch(rng, 5, 1)[:, 0]
    parts = list(exact_inner_products(others, candidates))
    assert len(parts) > 1
    found = torch.cat([dots for _, dots in parts])
    torch.testing.assert_close(found, torch.einsum("qmd,cd->qcm", others, candidates))


def test_equal_candidates_have_equal_products_to_the_bit(rng):
    others = unit_batch(rng, 33, 2, 100)
    same = unit_batch(rng, 1, 1, 100)[0].expand(37, 100)
    for _, dots in exact_inner_products(others, same):
        assert (dots == dots[:, :1]).all()
