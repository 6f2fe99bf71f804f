"""Impute a missing embedding from similar train samples."""

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.models.missing_modality.base import DropModality, Fill, MissingModalityMethod

_NEIGHBOURS = 10
_TEMPERATURE = 0.1  # of the weights, which are a softmax of cosines
_CELLS = 2**22  # cosines that are computed at a time


def neighbour_vectors(
    bank: Embeddings,
    neighbours: int,
    z: Float[Tensor, "sample modality dim"],
    available: Bool[Tensor, "sample modality"],
) -> Float[Tensor, "sample modality dim"]:
    """Return for each slot a mean over the most similar train samples that have the modality.

    Two samples are compared by the mean cosine of the embeddings that both have. The weights are a
    softmax of these cosines over the nearest samples. Where no train sample with the modality has
    anything in common with a sample, the mean of all that have it is taken; where none has the
    modality, zeros are.

    Args:
        bank: embeddings of train samples, zero where unavailable.
        neighbours: the number of nearest samples.
        z: the embeddings to complete; zero where unavailable.
        available: True where a sample has the modality.
    """
    step = max(1, _CELLS // max(len(bank.z) * z.shape[1], 1))
    parts = [
        _nearest(bank, neighbours, z[start : start + step], available[start : start + step])
        for start in range(0, len(z), step)
    ]
    return torch.cat(parts) if parts else z


def _nearest(bank: Embeddings, neighbours: int, z: Tensor, available: Tensor) -> Tensor:
    kept, has = normalize(bank.z, dim=2), bank.available
    unit = normalize(z, dim=2)
    cosines = torch.einsum("nmd,bmd->nbm", unit, kept)
    both = (available[:, None] & has[None]).to(z)
    total = (cosines * both).sum(dim=2)
    made = []
    for column in range(z.shape[1]):
        # The modality itself is what is looked for: it is no part of the comparison.
        shared = both.sum(dim=2) - both[:, :, column]
        similar = (total - cosines[:, :, column] * both[:, :, column]) / shared.clamp(min=1)
        rows = has[:, column].nonzero()[:, 0]
        if not len(rows):
            made.append(torch.zeros_like(z[:, column]))
            continue
        similar = similar[:, rows].masked_fill(shared[:, rows] == 0, -torch.inf)
        nearest = similar.topk(min(neighbours, len(rows)), dim=1)
        weights = (nearest.values / _TEMPERATURE).softmax(dim=1).nan_to_num()
        found = torch.einsum("qk,qkd->qd", weights, bank.z[rows[nearest.indices], column])
        alone = ~torch.isfinite(nearest.values[:, 0])
        mean = bank.z[rows, column].mean(dim=0)
        made.append(torch.where(alone[:, None], mean, found))
    return torch.stack(made, dim=1)


def fit_neighbours(train: Embeddings, seed: int) -> Sequence[Fill]:
    """Keep all train embeddings and impute from the ten nearest; see `neighbour_vectors`."""
    del seed
    return (partial(neighbour_vectors, train, _NEIGHBOURS),)


NEIGHBOURS = MissingModalityMethod(
    handler=DropModality,
    fit=fit_neighbours,
    display_name="similar train samples",
    description="Takes a missing embedding from the train admissions that are most alike.",
    source='Zhang et al., "M3Care", KDD 2022, https://arxiv.org/abs/2210.17292',
)
"""A missing embedding is a mean over similar train samples; training leaves out what is missing.

M3Care learns its similarities with the task (from its abstract). Here they are cosines of the
trained embeddings, the samples are those of the train split, and nothing more is learned.
"""
