"""Attention over tokens by hand, and joined over several modalities."""

import math
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from clinical_symile.objectives.token_attention import (
    TokenQueries,
    TokenReader,
    attend,
    join_attention,
)

SETS = torch.tensor([*product((False, True), repeat=3)][1:])


def test_attention_has_the_weights_of_the_hand_calculation():
    query = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    keys = torch.eye(2, dtype=torch.float64)[None]
    weights, normalizer = attend(query, keys, keys)
    assert weights[0, 0].tolist() == pytest.approx([0.669761549327, 0.330238450673], abs=1e-10)
    assert normalizer.item() == pytest.approx(math.log(math.exp(2**-0.5) + 1), abs=1e-12)


def test_attention_to_parts_joins_to_that_over_all_their_tokens(generator: torch.Generator):
    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    queries, parts = draw(4, 5), [(draw(7, n, 5), draw(7, n, 3)) for n in (2, 6, 9)]
    each = [attend(queries, *part) for part in parts]
    outputs = torch.stack([output for output, _ in each], dim=1)
    normalizers = torch.stack([normalizer for _, normalizer in each], dim=1)
    found = join_attention(outputs, normalizers, SETS)
    for row, has in enumerate(SETS):
        keys, values = (
            torch.cat([part[i][row] for part, there in zip(parts, has, strict=True) if there])
            for i in (0, 1)
        )
        expected = functional.scaled_dot_product_attention(queries, keys, values)
        torch.testing.assert_close(found[row], expected, rtol=1e-10, atol=1e-10)
    nothing = join_attention(torch.zeros_like(outputs), normalizers, SETS & False)
    assert (nothing == 0).all()


def test_narrow_tokens_are_weighed_in_32_bits(generator: torch.Generator):
    """In bfloat16 a normalizer near 4 would have steps of 1/64."""
    queries, keys = (torch.randn(*shape, generator=generator) for shape in ((2, 8), (3, 50, 8)))
    queries, keys = queries.bfloat16(), keys.bfloat16()
    found, normalizer = attend(queries, keys, keys)
    assert (found.dtype, normalizer.dtype) == (torch.bfloat16, torch.float32)
    scores = (queries @ keys.mT).double() / math.sqrt(8)
    expected = scores.logsumexp(dim=2).float()
    torch.testing.assert_close(normalizer, expected, rtol=0, atol=0.01)
    assert (normalizer != normalizer.bfloat16()).any()
    packed = TokenQueries(2, 8).pack(found, normalizer)
    assert torch.equal(TokenQueries(2, 8).unpack(packed[:, None])[1][:, 0], normalizer)


def test_a_token_that_does_not_exist_has_no_weight(generator: torch.Generator):
    queries, keys, values = (
        torch.randn(*shape, generator=generator, dtype=torch.float64)
        for shape in ((2, 5), (3, 4, 5), (3, 4, 6))
    )
    exists = torch.tensor([[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 1, 0]], dtype=torch.bool)
    found = attend(queries, keys, values, exists)
    for row, some in enumerate(exists):
        alone = attend(queries, keys[row : row + 1, some], values[row : row + 1, some])
        for one, other in zip(found, alone, strict=True):
            torch.testing.assert_close(one[row : row + 1], other, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found[0][2], values[2, 2].expand(2, -1))  # a lone token


def test_a_summary_holds_what_queries_found(generator: torch.Generator):
    shape, outputs = TokenQueries(2, 3), torch.randn(4, 2, 3, generator=generator)
    normalizers = torch.randn(4, 2, generator=generator)
    summary = shape.pack(outputs, normalizers)
    assert summary.shape == (4, shape.summary_width) == (4, 8)
    parts = torch.stack([summary, 2 * summary], dim=1)
    found = shape.unpack(parts)
    for read, given in zip(found, (outputs, normalizers), strict=True):
        assert torch.equal(read, torch.stack([given, 2 * given], dim=1))


def test_a_reader_tells_equal_tokens_apart_by_their_positions():
    keys, values = TokenReader((3, 2), 4)(torch.ones(2, 3, 2))
    assert keys.shape == values.shape == (2, 3, 4)
    assert (torch.pdist(keys[0]) > 0).all()
    assert torch.equal(keys[0], keys[1])


def test_a_reader_of_a_set_takes_the_positions_that_its_weights_have():
    """Weights of version 0.2.6 have them; new ones do not."""
    before, reader = TokenReader((3, 2), 4), TokenReader((3, 2), 4, ordered=False)
    tokens = torch.rand(2, 3, 2, generator=torch.Generator().manual_seed(0))
    reader.load_state_dict(before.state_dict())
    for found, expected in zip(reader(tokens), before(tokens), strict=True):
        assert torch.equal(found, expected)
    assert "positions" not in TokenReader((3, 2), 4, ordered=False).state_dict()
