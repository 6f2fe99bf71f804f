"""The most similar keys of a queue, kept as the only negatives or mixed into new ones."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from clinical_symile.objectives.kernels.scores import Excluded

_QUERIES = 1024  # queries whose products with all keys are computed at a time
_ROUNDING = 16  # roundings that two computations of an inner product may differ by


@torch.no_grad()
def least_kept(
    queries: Float[Tensor, "query dim"],
    bank: Float[Tensor, "key dim"],
    keep: int,
    excluded: Excluded | None,
) -> Float[Tensor, " query"]:
    """Return the product that a key needs to be one of the `keep` most similar; -inf for 0.

    It is a rounding error below the last one that is kept, so that equal keys are kept together.
    """
    found = queries.new_full((len(queries),), -math.inf)
    if not keep:
        return found
    for rows in torch.arange(len(queries), device=queries.device).split(_QUERIES):
        products = queries[rows] @ bank.T
        if excluded is not None:
            same = excluded.left[rows, None] == excluded.right
            products = products.masked_fill(same, -math.inf)
        count = min(keep, products.shape[1])
        found[rows] = products.topk(count, dim=1).values[:, -1]
    return found - _ROUNDING * torch.finfo(found.dtype).eps


def synthesised_keys(
    queries: Float[Tensor, "query dim"],
    bank: Float[Tensor, "key dim"],
    count: int,
    *,
    hardest: int,
    generator: torch.Generator,
) -> Float[Tensor, "query mixed dim"]:
    """Draw mixtures of two hard keys, and half as many of one with the query, of length 1.

    Args:
        queries: the queries, without gradient.
        bank: the keys.
        count: the mixtures of two keys.
        hardest: the number of most similar keys of each query that are mixed.
        generator: draws the keys and their shares.
    """
    hard = bank[(queries @ bank.T).topk(min(hardest, len(bank)), dim=1).indices]

    def some(number: int) -> Tensor:
        places = torch.randint(hard.shape[1], (len(hard), number), generator=generator)
        return hard.gather(1, places.to(hard.device)[..., None].expand(-1, -1, hard.shape[2]))

    def shares(number: int, most: float) -> Tensor:
        drawn = torch.rand(len(hard), number, 1, generator=generator, dtype=hard.dtype)
        return most * drawn.to(hard.device)

    first, alpha, half = some(count), shares(count, 1.0), (count + 1) // 2
    pairs = alpha * first + (1 - alpha) * some(count)
    beta = shares(half, 0.5)
    with_query = beta * queries[:, None] + (1 - beta) * some(half)
    return normalize(torch.cat([pairs, with_query], dim=1), dim=2)


def kept_score(left: Sequence[Tensor], right: Sequence[Tensor], parameters: Sequence[Tensor]):
    """Return scale · ⟨x, y⟩, and -inf for products below the least that a query keeps."""
    products = left[0] @ right[0].T
    return (parameters[0] * products).masked_fill(products < left[1][:, None], -math.inf)
