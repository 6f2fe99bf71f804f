"""Inner products of queries and candidates that are equal to the bit for equal candidates."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.base import query_columns

_CELLS = 2**24  # products of single numbers at a time


def queries_by_pattern(
    query: Embeddings, *, target: str
) -> Iterator[tuple[Tensor, Float[Tensor, "query other dim"]]]:
    """Yield the queries with each set of modalities, and those modalities' embeddings in float64.

    Args:
        query: the embeddings of each query.
        target: the modality that is retrieved; it is left out.

    Raises:
        ValueError: a query has no modality available.
    """
    columns = query_columns(query, target=target)
    z, available = query.without(target).with_substitutes()
    patterns = available[:, columns]
    for pattern in sorted(set(map(tuple, patterns.tolist()))):
        kept = [column for column, has in zip(columns, pattern, strict=True) if has]
        rows = (patterns == patterns.new_tensor(pattern)).all(dim=1).nonzero()[:, 0]
        yield rows, z[rows][:, kept].double()


def exact_inner_products(
    others: Float[Tensor, "query other dim"], candidates: Float[Tensor, "candidate dim"]
) -> Iterator[tuple[slice, Float[Tensor, "some candidate other"]]]:
    """Yield inner products of some queries at a time, equal to the bit for equal candidates.

    A matrix product may add in another order for another candidate. That is enough to break ties
    by position where a score has a root or a difference of nearly equal numbers.

    Args:
        others: embeddings of each query's modalities.
        candidates: embeddings of the target modality.
    """
    cells = max(others.shape[1] * candidates.numel(), 1)
    step = max(_CELLS // cells, 1)
    for start in range(0, len(others), step):
        part = others[start : start + step]
        dots = [(part[:, None, m] * candidates).sum(dim=2) for m in range(others.shape[1])]
        yield slice(start, start + step), torch.stack(dots, dim=2)
