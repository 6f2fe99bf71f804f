"""Gaussian embeddings, a mean and a log variance in one vector: divergence and scores."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.base import as_given, query_columns

NUMBERS_AT_A_TIME = 2**20  # of a block of [row, column, dim]


def split_gaussian(z: Float[Tensor, "*any width"]) -> tuple[Tensor, Tensor]:
    """Return the means and the log variances of embeddings that hold one after the other.

    Raises:
        ValueError: the width is odd.
    """
    if z.shape[-1] % 2:
        raise ValueError(
            f"embeddings have width {z.shape[-1]}; expected an even one: means, then as many log "
            "variances. Train encoders with this objective, or choose another."
        )
    half = z.shape[-1] // 2
    return z[..., :half], z[..., half:]


def divergence_from_standard(z: Float[Tensor, "sample width"]) -> Float[Tensor, ""]:
    """Compute the mean over samples of KL(N(μ, σ²) ‖ N(0, 1)), summed over dimensions."""
    means, logs = split_gaussian(z)
    return (means.square() + logs.exp() - 1 - logs).sum(dim=1).mean() / 2


def summed_scores(
    query: Embeddings,
    candidates: Float[Tensor, "candidate width"],
    *,
    target: str,
    compare: Callable[[Tensor, Tensor], Tensor],
    logs: bool = False,
) -> Float[Tensor, "query candidate"]:
    """Sum a comparison over the available modalities of each query, a few queries at a time.

    Equal candidates are compared once, so that their scores are equal to the bit.

    Args:
        query: Gaussian embeddings of each query.
        candidates: Gaussian embeddings of the target modality.
        target: the modality of the candidates.
        compare: scores every one of some Gaussians with every one of others.
        logs: True if `compare` returns logarithms; the result is then the logarithm of the sum,
            in which scores too small for a number stay apart.

    Raises:
        ValueError: the embeddings have no variances, or a query has no modality available.
    """
    columns = query_columns(query, target=target)
    if not query.spread:
        raise ValueError(
            "the embeddings have no log variances, which this score compares; expected embeddings "
            "of encoders that were trained with it, or `Embeddings` with spread = True."
        )
    z, available = query.without(target).with_substitutes()
    distinct, places = candidates.double().unique(dim=0, return_inverse=True)
    total = z.new_full((len(z), len(distinct)), -math.inf if logs else 0.0, dtype=torch.float64)
    add = torch.logaddexp if logs else torch.add
    at_a_time = max(NUMBERS_AT_A_TIME // max(distinct.numel(), 1), 1)
    for column in columns:
        for rows in available[:, column].nonzero()[:, 0].split(at_a_time):
            total[rows] = add(total[rows], compare(z[rows, column].double(), distinct))
    scores = total[:, places]
    return as_given(scores, candidates)
