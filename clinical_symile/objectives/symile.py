"""Symile: every modality is contrasted with the product of all others."""

from functools import reduce
from math import inf
from string import ascii_lowercase

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from clinical_symile.embeddings import Embeddings
from clinical_symile.objectives.objective import (
    Objective,
    complete_samples,
    inner_products,
    prepare_slots,
    query_slots,
)

NEGATIVES = ("all", "shuffled")


def symile_loss(
    z: Float[Tensor, "sample modality dim"],
    logit_scale: float | Float[Tensor, ""],
    *,
    present: Bool[Tensor, "sample modality"] | None = None,
    negatives: str = "all",
    generator: torch.Generator | None = None,
) -> Float[Tensor, ""]:
    """Cross-entropy of picking a sample's own companions, mean over the anchor modalities.

    The logit of a combination of samples i_1 … i_M is logit_scale · Σ_d Π_m z^m_d[i_m]. For an
    anchor modality and a sample, the combination of only that sample is right. It is contrasted
    with "all" others that keep the anchor, n^(M-1) - 1 of them, or with n - 1 "shuffled" ones,
    which every sample of the batch shares. With two modalities both are CLIP.

    A combination counts only if all its members are present; a sample is an anchor only if all its
    modalities are. Incomplete samples still lend what they have to the negatives.

    Source: Saporta et al., "Contrasting with Symile", NeurIPS 2024. https://arxiv.org/abs/2411.01053

    Args:
        z: embeddings; anything where absent.
        logit_scale: the multiplier itself, not its logarithm.
        present: True where a sample has the modality; all, if not given.
        negatives: "all" or "shuffled".
        generator: for "shuffled", what permutations are drawn from; on the CPU.

    Raises:
        ValueError: fewer than two complete samples in the batch, "shuffled" without a generator, or
            unknown negatives.
    """
    _check_negatives(negatives)
    if negatives == "all":
        return _all_negatives(z, logit_scale, present=present)
    if generator is None:
        raise ValueError(
            "shuffled negatives need a generator; expected a torch.Generator on the CPU. Pass "
            "generator=torch.Generator().manual_seed(seed)."
        )
    permutations = draw_permutations(len(z), modalities=z.shape[1], generator=generator)
    return symile_loss_shuffled(z, logit_scale, permutations.to(z.device), present=present)


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


def symile_loss_shuffled(
    z: Float[Tensor, "sample modality dim"],
    logit_scale: float | Float[Tensor, ""],
    permutations: Int[Tensor, "modality other sample"],
    *,
    present: Bool[Tensor, "sample modality"] | None = None,
) -> Float[Tensor, ""]:
    """`symile_loss` with shuffled negatives, for given permutations.

    Candidate j of anchor modality m is the product over the others k of z^k[permutations[m, k, j]].
    A sample's own candidate is replaced by its true companions. Where some modalities are absent, a
    candidate with an absent member is left out for all samples but its own.

    Args:
        z: embeddings; anything where absent.
        logit_scale: the multiplier itself, not its logarithm.
        permutations: for each anchor modality and each other one, in the order of `z`.
        present: True where a sample has the modality; all, if not given.

    Raises:
        ValueError: fewer than two complete samples in the batch.
    """
    z, present = prepare_slots(z, present)
    complete = _anchors(present)
    own = (torch.arange(len(complete), device=z.device), complete)
    losses = []
    with torch.autocast(z.device.type, enabled=False):
        true = logit_scale * reduce(torch.mul, z[complete].unbind(dim=1)).sum(dim=1)
        for anchor, shuffles in enumerate(permutations):
            others = [m for m in range(z.shape[1]) if m != anchor]
            slots = list(zip(others, shuffles, strict=True))
            candidates = reduce(torch.mul, [z[shuffle, m] for m, shuffle in slots])
            allowed = reduce(torch.mul, [present[shuffle, m] for m, shuffle in slots])
            logits = logit_scale * z[complete, anchor] @ candidates.T
            logits.masked_fill_(~allowed, -inf)
            logits[own] = true
            losses.append(functional.cross_entropy(logits, complete))
    return torch.stack(losses).mean()


def _all_negatives(
    z: Float[Tensor, "sample modality dim"],
    logit_scale: float | Float[Tensor, ""],
    *,
    present: Bool[Tensor, "sample modality"] | None,
) -> Float[Tensor, ""]:
    """The definition, densely: one logit for each of the n^M combinations serves all anchors."""
    z, present = prepare_slots(z, present)
    complete = _anchors(present)
    modalities = z.shape[1]
    axes = ascii_lowercase[:modalities]
    with torch.autocast(z.device.type, enabled=False):
        products = torch.einsum(
            ",".join(f"{axis}z" for axis in axes) + f"->{axes}", *z.unbind(dim=1)
        )
        # [n, n, …], an axis for each modality
        allowed = reduce(torch.logical_and, torch.meshgrid(*present.T, indexing="ij"))
        logits = (logit_scale * products).masked_fill(~allowed, -inf)
        true = logits[(complete,) * modalities]
        losses = [
            (logits.movedim(anchor, 0)[complete].flatten(1).logsumexp(dim=1) - true).mean()
            for anchor in range(modalities)
        ]
    return torch.stack(losses).mean()


def _anchors(present: Bool[Tensor, "sample modality"]) -> Int[Tensor, " complete"]:
    complete = complete_samples(present)
    if len(complete) < 2:
        raise ValueError(
            f"a Symile step needs at least 2 complete samples; this batch of {len(present)} has "
            f"{len(complete)}. Raise batch_size, or train on a cohort where more samples are "
            "complete."
        )
    return complete


def _check_negatives(negatives: str) -> None:
    if negatives not in NEGATIVES:
        raise ValueError(f"unknown negatives '{negatives}'; expected 'all' or 'shuffled'.")


class Symile(Objective):
    """Contrast every modality with the product of all others.

    Absent modalities: a sample is an anchor only if all its modalities are present, and lends what
    it has to the negatives of others. In `score`, an absent query modality leaves the product.

    Source: Saporta et al., "Contrasting with Symile", NeurIPS 2024. https://arxiv.org/abs/2411.01053

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned. Products of unit
            vectors are small: of the order of 1 / dim for three random ones, and of 1 / √dim when
            they agree. A scale that starts at 0.1 · dim makes the first logits about 0.1.
        negatives: "all" contrasts with every combination, n^(M-1) - 1 per anchor; "shuffled" with
            n - 1.
        logit_scale_max: limit of the learned scale. None by default, as in the paper's experiments:
            since the products are small, the scale must grow well past the limit that CLIP needs.

    Raises:
        ValueError: fewer than two complete samples in the batch.
    """

    def __init__(
        self,
        *,
        temperature: float = 0.1,
        negatives: str = "all",
        logit_scale_max: float = inf,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        _check_negatives(negatives)
        self.negatives = negatives

    def forward(
        self, embeddings: Embeddings, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, ""]:
        """The loss of a batch; shuffled negatives are drawn from `generator`."""
        self.limit_logit_scale()
        z, counts = embeddings.filled()
        return symile_loss(
            z, self.logit_scale, present=counts, negatives=self.negatives, generator=generator
        )

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate dim"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """Multilinear inner product of a candidate with the usable modalities of the query.

        Raises:
            ValueError: a query has nothing present.
        """
        z, counts = query_slots(query, target=target)
        product = torch.where(counts[:, :, None], z.double(), 1.0).prod(dim=1)
        return inner_products(product, candidates)

    def candidates_per_anchor(self, samples: int, *, modalities: int) -> int | None:
        """How many combinations each anchor is contrasted with, its own included."""
        return samples if self.negatives == "shuffled" else samples ** (modalities - 1)
