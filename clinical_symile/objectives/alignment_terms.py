"""Alignment of partners and uniformity of embeddings: terms of several objectives."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from clinical_symile.objectives.kernels.scores import (
    Excluded,
    reduce_scores,
    squared_distance_score,
)


def alignment_loss(
    first: Float[Tensor, "sample dim"], second: Float[Tensor, "sample dim"]
) -> Float[Tensor, ""]:
    """Compute the mean squared distance of partners.

    Source: Wang and Isola, "Understanding Contrastive Representation Learning through Alignment and
    Uniformity on the Hypersphere", ICML 2020, https://arxiv.org/abs/2005.10242.
    """
    return (first - second).square().sum(dim=1).mean()


def uniformity_loss(
    first: Float[Tensor, "sample dim"],
    second: Float[Tensor, "sample dim"],
    *,
    factor: float = 2.0,
) -> Float[Tensor, ""]:
    """Compute log mean exp(-factor ‖x_i - y_j‖²) over i ≠ j.

    With both arguments the same it is the uniformity of Wang and Isola, see `alignment_loss`; with
    two modalities, cross-modal uniformity. It is at most 0, and least for an even spread.

    Args:
        first: embeddings of one modality, at least two.
        second: embeddings of the same samples.
        factor: the factor of squared distances.
    """
    n = len(first)
    codes = torch.arange(n, device=first.device)
    found = reduce_scores(
        squared_distance_score,
        [first],
        [second],
        [first.new_tensor(factor)],
        excluded=Excluded(codes, codes),
        only="rows",
    )
    return found.rows.logsumexp(dim=0) - math.log(n * (n - 1))
