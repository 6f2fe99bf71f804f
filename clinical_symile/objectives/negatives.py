"""What a Symile anchor is contrasted with where all combinations would be too many.

Each of these is a loss over prepared slots: `z` is zero where absent, at least two samples are
complete, and autocast is off.
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

from clinical_symile.objectives.distributed import Group, all_gather_with_grad, share_sizes
from clinical_symile.objectives.kernels.tiled import product_logsumexp


@runtime_checkable
class Negatives(Protocol):
    """Which combinations an anchor is contrasted with."""

    def loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        scale: Float[Tensor, ""],
        *,
        present: Bool[Tensor, "sample modality"],
        generator: torch.Generator | None,
        group: Group,
    ) -> Float[Tensor, ""]:
        """The mean over anchors of the cross-entropy of the right combination."""
        ...

    def candidates(self, samples: int, *, modalities: int) -> int:
        """How many combinations share one anchor, its own included, in a complete batch."""
        ...

    def operations(self, samples: int, *, modalities: int, dim: int) -> float:
        """Floating-point operations of a step, forward and backward, for a complete batch."""
        ...


@dataclass(frozen=True)
class ShuffledNegatives:
    """For each anchor modality, every other modality is permuted on its own.

    The n products of what then stands side by side are everybody's candidates, but for a sample's
    own, which is replaced by its true companions.
    """

    def loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        scale: Float[Tensor, ""],
        *,
        present: Bool[Tensor, "sample modality"],
        generator: torch.Generator | None,
        group: Group,
    ) -> Float[Tensor, ""]:
        """See `Negatives`; permutations are of the whole batch."""
        if generator is None:
            raise ValueError(
                "shuffled negatives need a generator; expected a torch.Generator on the CPU. Pass "
                "generator=torch.Generator().manual_seed(seed)."
            )
        z, present = _whole(z, present, group)
        permutations = draw_permutations(len(z), modalities=z.shape[1], generator=generator)
        return shuffled_loss(z, scale, permutations.to(z.device), present=present)

    def candidates(self, samples: int, *, modalities: int) -> int:
        """As many as there are samples."""
        return samples

    def operations(self, samples: int, *, modalities: int, dim: int) -> float:
        """A matrix product for each anchor modality, and two on the way back."""
        return 6.0 * modalities * samples**2 * dim


def draw_permutations(
    samples: int, *, modalities: int, generator: torch.Generator
) -> Int[Tensor, "modality other sample"]:
    """One permutation for each anchor modality and each other modality, in this order.

    With two modalities nothing is drawn: each sample's own partner already is a negative for all
    others, and a permutation could only make it one for itself.
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
    present: Bool[Tensor, "sample modality"],
) -> Float[Tensor, ""]:
    """The loss with shuffled negatives, for given permutations.

    Candidate j of anchor modality m is the product over the others k of z^k[permutations[m, k, j]].
    A candidate with an absent member is left out for all samples but its own.
    """
    complete = present.all(dim=1).nonzero().squeeze(1)
    own = (torch.arange(len(complete), device=z.device), complete)
    right = scale * reduce(torch.mul, z[complete].unbind(dim=1)).sum(dim=1)
    losses = []
    for anchor, shuffles in enumerate(permutations):
        others = [m for m in range(z.shape[1]) if m != anchor]
        slots = list(zip(others, shuffles, strict=True))
        candidates = reduce(torch.mul, [z[shuffle, m] for m, shuffle in slots])
        allowed = reduce(torch.mul, [present[shuffle, m] for m, shuffle in slots])
        logits = scale * z[complete, anchor] @ candidates.T
        logits.masked_fill_(~allowed, -inf)
        logits[own] = right
        losses.append(functional.cross_entropy(logits, complete))
    return torch.stack(losses).mean()


@dataclass(frozen=True)
class CyclicNegatives:
    """Companions that stand a few places apart.

    The candidates of an anchor are, for every sample j and all shifts δ, δ', … below `shifts`, the
    products of sample j of the first other modality, j + δ of the second, j + δ' of the third …,
    counted round the batch. All shifts zero are the samples themselves, among them the right one.
    As many shifts as samples are all combinations.

    Attributes:
        shifts: how many, of each modality but the first other one.
        matmul: see `product_logsumexp`.
    """

    shifts: int
    matmul: str = "highest"

    def loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        scale: Float[Tensor, ""],
        *,
        present: Bool[Tensor, "sample modality"],
        generator: torch.Generator | None,
        group: Group,
    ) -> Float[Tensor, ""]:
        """See `Negatives`; it draws nothing, and places are those in the whole batch."""
        z, present = _whole(z, present, group)
        complete = present.all(dim=1)
        right = scale * reduce(torch.mul, z[complete].unbind(dim=1)).sum(dim=1)
        losses = []
        for anchor in range(z.shape[1]):
            others = [m for m in range(z.shape[1]) if m != anchor]
            candidates = torch.cat(
                [
                    reduce(torch.mul, z[:, others].take_along_dim(who[:, :, None], 0).unbind(1))[
                        present[:, others].take_along_dim(who, 0).all(dim=1)
                    ]
                    for who in self._companions(len(z), len(others), z.device)
                ]
            )
            anchors = z[complete, anchor]
            denominators, _ = product_logsumexp([anchors, candidates], scale, matmul=self.matmul)
            losses.append((denominators - right).mean())
        return torch.stack(losses).mean()

    def candidates(self, samples: int, *, modalities: int) -> int:
        """The samples, times the shifts of all others but one."""
        return samples * min(self.shifts, samples) ** (modalities - 2)

    def operations(self, samples: int, *, modalities: int, dim: int) -> float:
        """A cube of the anchors and the candidates, for each anchor modality."""
        return 8.0 * modalities * samples * self.candidates(samples, modalities=modalities) * dim

    def _companions(
        self, samples: int, others: int, device: torch.device
    ) -> Iterator[Int[Tensor, "sample other"]]:
        """For each choice of shifts, which samples stand together."""
        place = torch.arange(samples, device=device)[:, None]
        for shifts in product(range(min(self.shifts, samples)), repeat=others - 1):
            yield (place + torch.tensor([0, *shifts], device=device)) % samples


@dataclass(frozen=True)
class SingleReplacement:
    """Candidates that differ from the right combination in one modality, each in turn.

    The logits are those of retrieving that modality by all the others.

    Attributes:
        matmul: see `product_logsumexp`.
    """

    matmul: str = "highest"

    def loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        scale: Float[Tensor, ""],
        *,
        present: Bool[Tensor, "sample modality"],
        generator: torch.Generator | None,
        group: Group,
    ) -> Float[Tensor, ""]:
        """See `Negatives`; it draws nothing."""
        z, present = _whole(z, present, group)
        complete = present.all(dim=1)
        slots = z[complete].unbind(dim=1)
        right = scale * reduce(torch.mul, slots).sum(dim=1)
        losses = []
        for target in range(z.shape[1]):
            query = reduce(torch.mul, slots[:target] + slots[target + 1 :])
            candidates = z[present[:, target], target]
            denominators, _ = product_logsumexp([query, candidates], scale, matmul=self.matmul)
            losses.append((denominators - right).mean())
        return torch.stack(losses).mean()

    def candidates(self, samples: int, *, modalities: int) -> int:
        """As many as there are samples."""
        return samples

    def operations(self, samples: int, *, modalities: int, dim: int) -> float:
        """A cube of the queries and the candidates, for each modality."""
        return 8.0 * modalities * samples**2 * dim


def _whole(
    z: Float[Tensor, "sample modality dim"], present: Bool[Tensor, "sample modality"], group: Group
) -> tuple[Float[Tensor, "whole modality dim"], Bool[Tensor, "whole modality"]]:
    sizes = share_sizes(z, group)
    return all_gather_with_grad(z, sizes, group), all_gather_with_grad(present, sizes, group)
