"""Pairs of modalities and tokens of a batch, with only the samples that have them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, permutations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clinical_symile.objectives.slots import modality_counts, no_pair


@dataclass(frozen=True, repr=False)
class Pair:
    """The samples of a batch that have both of two modalities.

    Attributes:
        a: the column of the first modality.
        b: the column of the second modality.
        samples: the positions of the samples in the batch.
        first: embeddings of the first modality.
        second: embeddings of the second modality, of the same samples.
    """

    a: int
    b: int
    samples: Int[Tensor, " sample"]
    first: Float[Tensor, "sample dim"]
    second: Float[Tensor, "sample dim"]

    @property
    def codes(self) -> Int[Tensor, " sample"]:
        """A code for each sample, to leave out cells of a sample with itself."""
        return torch.arange(len(self.first), device=self.first.device)


def complete_pairs(
    z: Float[Tensor, "sample modality dim"],
    available: Bool[Tensor, "sample modality"],
    *,
    objective: str,
    ordered: bool = False,
    cycle: bool = False,
    core: int | None = None,
) -> Iterator[Pair]:
    """Yield each pair of modalities that two samples or more have.

    Args:
        z: embeddings; any values where unavailable.
        available: True where a sample has the modality.
        objective: the name of the objective, for the message.
        ordered: also yield each pair with its modalities exchanged.
        cycle: only the pairs of each modality with the next one, and of the last with the first.
        core: only pairs with this column, which comes first.

    Raises:
        ValueError: no pair has two samples.
    """
    columns = range(z.shape[1])
    if core is not None:
        pairs = [(core, column) for column in columns if column != core]
    elif cycle:
        pairs = [(column, (column + 1) % len(columns)) for column in columns]
    else:
        pairs = list(permutations(columns, 2) if ordered else combinations(columns, 2))
    # Views of single columns: complete ones are not copied, and gradients have one column each.
    embedded, found = z.unbind(dim=1), False
    for a, b in pairs:
        both = available[:, [a, b]].all(dim=1)
        if both.sum() >= 2:
            found = True
            first, second = (rows_of(embedded[column], both) for column in (a, b))
            yield Pair(a, b, both.nonzero()[:, 0], first, second)
    if not found:
        raise no_pair(len(available), objective=objective)


def rows_of(z: Float[Tensor, "sample ..."], kept: Bool[Tensor, " sample"]) -> Tensor:
    """Return some rows, or all of them without a copy."""
    return z if bool(kept.all()) else z[kept]


@dataclass(frozen=True, repr=False)
class Tokens:
    """The embeddings that a batch has, one after another.

    Attributes:
        z: the embeddings.
        samples: the sample of each.
        modalities: the column of each.
        counts: the number of modalities of each sample of the batch.
    """

    z: Float[Tensor, "token dim"]
    samples: Int[Tensor, " token"]
    modalities: Int[Tensor, " token"]
    counts: Int[Tensor, " sample"]

    @property
    def codes(self) -> Int[Tensor, " token"]:
        """A code for each token."""
        return torch.arange(len(self.z), device=self.z.device)


def batch_tokens(
    z: Float[Tensor, "sample modality dim"],
    available: Bool[Tensor, "sample modality"],
    *,
    objective: str,
) -> Tokens:
    """Return the embeddings that a batch has as tokens.

    Args:
        z: embeddings; any values where unavailable.
        available: True where a sample has the modality.
        objective: the name of the objective, for the message.

    Raises:
        ValueError: fewer than two samples have two modalities.
    """
    counts = modality_counts(available, objective=objective)
    samples, modalities = available.nonzero(as_tuple=True)
    return Tokens(z[samples, modalities], samples, modalities, counts)
