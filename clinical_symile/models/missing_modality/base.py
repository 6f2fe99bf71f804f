"""Ways of training with absent modalities: what a pretraining task's `absent` may name.

| `absent` | learns from samples with | an absent modality |
|---|---|---|
| `complete` | every modality | does not occur in training; is left out of scores |
| `omit` | two modalities or more | is left out of losses and scores: for Symile, the masked cube |
| `subsets` | two modalities or more | is left out; the loss is over every subset of modalities |
| `learned` | two modalities or more | has a learned vector |
| `dropout` | two modalities or more | the same; each epoch hides a share of what is present anew |
| `indicator` | one modality or more | enters its encoder as a placeholder, with an indicator |

What each assumes, and when it misleads, stands in `docs/explanation/missingness.md`.

A way of one's own is a `MissingModality` named `package.module:NAME`. Its slots keep one promise,
which `clinical-symile check --canary` holds them to: what is absent may hold anything in a batch,
NaN or someone else's recording, and no embedding and no gradient changes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.subsets import SubsetSum

Vectors = Float[Tensor, "sample dim"]
Encode = Callable[[Tensor], Tensor]


class MissingModalityHandler(Protocol):
    """Fills a modality's slots; a module, made with how many modalities there are and their width.

    Embeddings are `norm(encoder(inputs))` of what is present, and zero where absent.
    """

    def __call__(
        self,
        encoder: Encode,
        norm: nn.Module,
        inputs: Float[Tensor, "sample ..."],
        present: Bool[Tensor, " sample"],
        *,
        column: int,
    ) -> tuple[Vectors, Float[Tensor, " dim"] | None]:
        """Embeddings of a modality, and what stands in where it is absent; None if nothing does.

        Args:
            encoder: of the modality.
            norm: brings its output to one length.
            inputs: of the encoder; anything where absent.
            present: where the modality may be used.
            column: which modality it is.
        """
        ...


class DropModality(nn.Module):
    """Nothing stands in: an encoder sees only samples that have its modality."""

    def __init__(self, modalities: int, dim: int):
        super().__init__()
        self.dim = dim

    def forward(
        self,
        encoder: Encode,
        norm: nn.Module,
        inputs: Float[Tensor, "sample ..."],
        present: Bool[Tensor, " sample"],
        *,
        column: int,
    ) -> tuple[Vectors, None]:
        """See `MissingModalityHandler`."""
        return _of_present(encoder, norm, inputs, present, dim=self.dim), None


class LearnedVectors(nn.Module):
    """A learned vector stands in, on the scale of the embeddings."""

    def __init__(self, modalities: int, dim: int):
        super().__init__()
        self.substitute = nn.Parameter(torch.randn(modalities, dim))

    def forward(
        self,
        encoder: Encode,
        norm: nn.Module,
        inputs: Float[Tensor, "sample ..."],
        present: Bool[Tensor, " sample"],
        *,
        column: int,
    ) -> tuple[Vectors, Float[Tensor, " dim"]]:
        """See `MissingModalityHandler`."""
        z = _of_present(encoder, norm, inputs, present, dim=self.substitute.shape[1])
        return z, norm(self.substitute[column][None])[0]


class Indicator(nn.Module):
    """The encoder reads zeros in place of what is absent, and is told so.

    The indicator enters where every encoder is linear, at its output: a learned vector is added
    where the modality is absent. What stands in is the embedding of the placeholder, which is
    encoded with every batch, so that it is there for whatever is hidden later.

    Source: Saporta et al., "Contrasting with Symile", NeurIPS 2024, on missing modalities.
    https://arxiv.org/abs/2411.01053
    """

    def __init__(self, modalities: int, dim: int):
        super().__init__()
        self.substitute = nn.Parameter(torch.randn(modalities, dim))

    def forward(
        self,
        encoder: Encode,
        norm: nn.Module,
        inputs: Float[Tensor, "sample ..."],
        present: Bool[Tensor, " sample"],
        *,
        column: int,
    ) -> tuple[Vectors, Float[Tensor, " dim"]]:
        """See `MissingModalityHandler`."""
        there = present.reshape(-1, *[1] * (inputs.ndim - 1))
        kept = torch.where(there, inputs, torch.zeros_like(inputs))
        encoded = encoder(torch.cat([kept, torch.zeros_like(inputs[:1])]))
        absent = torch.cat([~present, present.new_ones(1)])[:, None]
        z = norm(encoded + torch.where(absent, self.substitute[column], 0.0))
        return torch.where(present[:, None], z[:-1], torch.zeros_like(z[:-1])), z[-1]


def _of_present(
    encoder: Encode,
    norm: nn.Module,
    inputs: Float[Tensor, "sample ..."],
    present: Bool[Tensor, " sample"],
    *,
    dim: int,
) -> Vectors:
    """Embeddings of samples with the modality alone, so that statistics of a batch are of these.

    Raises:
        ValueError: one sample is not enough to train on.
    """
    z = inputs.new_zeros(len(present), dim)
    count = int(present.sum())
    if not count:
        return z
    if norm.training and count == 1:
        raise ValueError(
            "there is one sample with it, and statistics over a batch need at least 2. Raise "
            "batch_size."
        )
    # Of many inputs a copy is much memory.
    encoded = norm(encoder(inputs if count == len(inputs) else inputs[present]))
    return z.to(encoded.dtype).index_put((present.nonzero()[:, 0],), encoded)


def without_subsets(make: Callable[[], Objective], modalities: int) -> Objective:
    """The task's objective as it is."""
    return make()


@dataclass(frozen=True, kw_only=True)
class MissingModality:
    """One way of training with absent modalities.

    Attributes:
        slots: makes what fills a slot, from the number of modalities and the width.
        needs: how many modalities a train sample must have; None for all that its pattern shows.
        drop: the share of what is present that each epoch hides anew, never all of a sample.
        objective: makes the objective from one that is made as the task says.
    """

    slots: Callable[[int, int], nn.Module]
    needs: int | None = 2
    drop: float = 0.0
    objective: Callable[[Callable[[], Objective], int], Objective] = without_subsets


COMPLETE = MissingModality(slots=DropModality, needs=None)
"""Only samples with every modality are learned from."""

DROP = MissingModality(slots=DropModality)
"""Masked cube: a combination counts if all its members are there."""

SUBSETS = MissingModality(slots=DropModality, objective=SubsetSum)
"""The objective summed over every subset of modalities, each sample in those it has."""

LEARNED = MissingModality(slots=LearnedVectors)
"""A learned vector in place of an absent modality."""

DROPOUT = MissingModality(slots=LearnedVectors, drop=0.3)
"""As `learned`, and each epoch hides 30 % of what is present anew."""

INDICATOR = MissingModality(slots=Indicator, needs=1)
"""As the paper does it: zeros and an indicator enter the encoder, all rows are in the loss."""
