"""Fewer negatives for Symile, where all combinations would be too many.

Each class computes a loss from prepared embeddings: `z` is zero where unavailable, at least two
samples are complete, and autocast is off.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import product
from math import inf
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from clinical_symile.objectives.distributed import Group, gather_slots
from clinical_symile.objectives.kernels.base import multilinear_products
from clinical_symile.objectives.kernels.tiled import product_logsumexp


@runtime_checkable
class Negatives(Protocol):
    """Protocol of the combinations that an anchor is contrasted with."""

    def loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        scale: Float[Tensor, ""],
        *,
        available: Bool[Tensor, "sample modality"],
        generator: torch.Generator | None,
        group: Group,
        only: int | None = None,
    ) -> Float[Tensor, ""]:
        """Average the cross-entropy of the positive combination over anchors.

        With `only`, the column of a modality, the anchors are of this modality alone.
        """
        ...

    def candidates(self, samples: int, *, modalities: int) -> int:
        """Count the combinations of one anchor, its own included, in a complete batch."""
        ...

    def flops(self, samples: int, *, modalities: int, dim: int) -> float:
        """Count the floating-point operations of a step, forward and backward, complete batch."""
        ...


@dataclass(frozen=True)
class ShuffledNegatives:
    """Negatives from permutations: each other modality of an anchor modality is permuted by itself.

    The n products of the permuted modalities are the candidates of every sample. Each sample
    replaces the product at its own position by that of its true partners.
    """

    def loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        scale: Float[Tensor, ""],
        *,
        available: Bool[Tensor, "sample modality"],
        generator: torch.Generator | None,
        group: Group,
        only: int | None = None,
    ) -> Float[Tensor, ""]:
        """See `Negatives`; permutes the whole batch."""
        if generator is None:
            raise ValueError(
                "shuffled negatives need a generator; expected a torch.Generator on the CPU. Pass "
                "generator=torch.Generator().manual_seed(seed)."
            )
        z, available = gather_slots(z, available, group)
        permutations = draw_permutations(len(z), modalities=z.shape[1], generator=generator)
        return shuffled_loss(z, scale, permutations.to(z.device), available=available, only=only)

    def candidates(self, samples: int, *, modalities: int) -> int:
        """Return the number of samples."""
        return samples

    def flops(self, samples: int, *, modalities: int, dim: int) -> float:
        """Count a matrix product per anchor modality forward and two backward."""
        return 6.0 * modalities * samples**2 * dim


def draw_permutations(
    samples: int, *, modalities: int, generator: torch.Generator
) -> Int[Tensor, "modality other sample"]:
    """Draw one permutation for each anchor modality and each other modality, in this order.

    With two modalities nothing is drawn: each sample's partner already is a negative of all other
    samples. A permutation could only make it a negative of its own sample.
    """
    if modalities == 2:
        return torch.arange(samples).expand(2, 1, samples)
    permutations = torch.empty(modalities, modalities - 1, samples, dtype=torch.long)
    for permutation in permutations.flatten(0, 1):
        permutation.copy_(torch.randperm(samples, generator=generator))
    return permutations


def shuffled_loss(
    z: Float[Tensor, "sample modality dim"],
    scale: Float[Tensor, ""],
    permutations: Int[Tensor, "modality other sample"],
    *,
    available: Bool[Tensor, "sample modality"],
    only: int | None = None,
) -> Float[Tensor, ""]:
    """Compute the loss with shuffled negatives, for given permutations.

    Candidate j of anchor modality m is the product over the others k of z^k[permutations[m, k, j]].
    A candidate with a missing member is left out for all samples but its own. With `only`, m is
    that column alone.
    """
    complete = available.all(dim=1).nonzero().squeeze(1)
    own = (torch.arange(len(complete), device=z.device), complete)
    positive = scale * multilinear_products(z[complete].unbind(dim=1))
    losses = []
    for anchor, shuffles in enumerate(permutations):
        if only not in (None, anchor):
            continue
        others = [m for m in range(z.shape[1]) if m != anchor]
        slots = list(zip(others, shuffles, strict=True))
        candidates = reduce(torch.mul, [z[shuffle, m] for m, shuffle in slots])
        allowed = reduce(torch.mul, [available[shuffle, m] for m, shuffle in slots])
        logits = scale * z[complete, anchor] @ candidates.T
        logits.masked_fill_(~allowed, -inf)
        logits[own] = positive
        losses.append(functional.cross_entropy(logits, complete))
    return torch.stack(losses).mean()


@dataclass(frozen=True)
class CyclicNegatives:
    """Negatives from shifts: samples a few positions apart are combined.

    The candidates of an anchor are, for every sample j and all shifts δ, δ', … below `shifts`, the
    products of sample j of the first other modality, j + δ of the second, j + δ' of the third …,
    modulo the batch. With all shifts zero these are the samples themselves, and so the positive.
    With as many shifts as samples these are all combinations.

    Attributes:
        shifts: the number of shifts of each modality but the first other one.
        matmul: see `product_logsumexp`.
    """

    shifts: int
    matmul: str = "highest"

    def loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        scale: Float[Tensor, ""],
        *,
        available: Bool[Tensor, "sample modality"],
        generator: torch.Generator | None,
        group: Group,
        only: int | None = None,
    ) -> Float[Tensor, ""]:
        """See `Negatives`; nothing is random, and positions are those in the whole batch."""
        z, available = gather_slots(z, available, group)
        complete = available.all(dim=1)
        positive = scale * multilinear_products(z[complete].unbind(dim=1))
        losses = []
        for anchor in range(z.shape[1]) if only is None else [only]:
            others = [m for m in range(z.shape[1]) if m != anchor]
            candidates = torch.cat(
                [
                    reduce(torch.mul, z[:, others].take_along_dim(index[:, :, None], 0).unbind(1))[
                        available[:, others].take_along_dim(index, 0).all(dim=1)
                    ]
                    for index in self._combined_samples(len(z), len(others), z.device)
                ]
            )
            anchors = z[complete, anchor]
            denominators, _ = product_logsumexp([anchors, candidates], scale, matmul=self.matmul)
            losses.append((denominators - positive).mean())
        return torch.stack(losses).mean()

    def candidates(self, samples: int, *, modalities: int) -> int:
        """Count the samples times the shifts of all other modalities but one."""
        return samples * min(self.shifts, samples) ** (modalities - 2)

    def flops(self, samples: int, *, modalities: int, dim: int) -> float:
        """Count the products of anchors and candidates, for each anchor modality."""
        return 8.0 * modalities * samples * self.candidates(samples, modalities=modalities) * dim

    def _combined_samples(
        self, samples: int, others: int, device: torch.device
    ) -> Iterator[Int[Tensor, "sample other"]]:
        """Yield for each choice of shifts the samples that are combined."""
        position = torch.arange(samples, device=device)[:, None]
        for shifts in product(range(min(self.shifts, samples)), repeat=others - 1):
            yield (position + torch.tensor([0, *shifts], device=device)) % samples


@dataclass(frozen=True)
class SingleReplacement:
    """Negatives that differ from the positive in one modality, each modality in turn.

    The logits are those of retrieving that modality from all the others.

    Attributes:
        matmul: see `product_logsumexp`.
    """

    matmul: str = "highest"

    def loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        scale: Float[Tensor, ""],
        *,
        available: Bool[Tensor, "sample modality"],
        generator: torch.Generator | None,
        group: Group,
        only: int | None = None,
    ) -> Float[Tensor, ""]:
        """See `Negatives`; nothing is random."""
        z, available = gather_slots(z, available, group)
        complete = available.all(dim=1)
        slots = z[complete].unbind(dim=1)
        positive = scale * multilinear_products(slots)
        losses = []
        for target in range(z.shape[1]) if only is None else [only]:
            query = reduce(torch.mul, slots[:target] + slots[target + 1 :])
            candidates = z[available[:, target], target]
            denominators, _ = product_logsumexp([query, candidates], scale, matmul=self.matmul)
            losses.append((denominators - positive).mean())
        return torch.stack(losses).mean()

    def candidates(self, samples: int, *, modalities: int) -> int:
        """Return the number of samples."""
        return samples

    def flops(self, samples: int, *, modalities: int, dim: int) -> float:
        """Count the products of queries and candidates, for each modality."""
        return 8.0 * modalities * samples**2 * dim
