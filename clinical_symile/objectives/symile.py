"""Symile: contrast every modality with the product of all others."""

from dataclasses import dataclass
from math import inf

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.arguments import at_least, one_of, refuse
from clinical_symile.objectives.base import Objective, query_columns
from clinical_symile.objectives.distributed import (
    Group,
    all_gather_with_grad,
    all_reduce_logsumexp,
    all_reduce_sum,
    local_slice,
    share_sizes,
)
from clinical_symile.objectives.kernels.base import check_matmul, multilinear_products
from clinical_symile.objectives.missing_query import Bank, check_rule, multilinear_score
from clinical_symile.objectives.negatives import (
    CyclicNegatives,
    Negatives,
    ShuffledNegatives,
    SingleReplacement,
)
from clinical_symile.objectives.replacements import loss_with_replacements
from clinical_symile.objectives.slots import few_complete, prepare_slots
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import KERNELS


def symile_loss(
    z: Float[Tensor, "sample modality dim"],
    logit_scale: float | Float[Tensor, ""],
    *,
    available: Bool[Tensor, "sample modality"] | None = None,
    negatives: str = "all",
    generator: torch.Generator | None = None,
    matmul: str = "highest",
    kernel: str = "tiles",
    group: Group = None,
    only: int | None = None,
) -> Float[Tensor, ""]:
    """Compute the cross-entropy of picking a sample's own partners, mean over anchor modalities.

    The logit of a combination of samples i_1 … i_M is logit_scale · Σ_d Π_m z^m_d[i_m]. For an
    anchor modality and a sample, the combination of only that sample is the positive. The negatives
    have the same anchor, except for "one-slot":

    - "all", n^(M-1) - 1 negatives, exactly, in memory that grows as n · d;
    - "shuffled", n - 1 negatives, the same for every sample of the batch;
    - "cyclic-8", or another count c: samples j, j + δ, … together, for all shifts δ below c, which
      makes n · c^(M-2) candidates. "cyclic-n" with the batch's n is "all";
    - "one-slot", n - 1 negatives: the anchor modality itself is replaced, and all others stay.

    With two modalities and complete samples, each of these is CLIP.

    A combination is used only if all its members are available. A sample is an anchor only if it
    has every modality. The modalities of incomplete samples are used in negatives.

    Source: Saporta et al., "Contrasting with Symile", NeurIPS 2024. https://arxiv.org/abs/2411.01053
    ("all" and "shuffled").

    Args:
        z: embeddings; any values where unavailable.
        logit_scale: the multiplier itself, not its logarithm.
        available: True where a sample has the modality; by default all.
        negatives: one of the names above.
        generator: for "shuffled", the source of permutations; on the CPU, and in the same state in
            all processes.
        matmul: precision of float32 products, see `product_logsumexp`; "shuffled" ignores it.
        kernel: the kernel of "all": "tiles", or "fused" on a GPU, see `kernels.triton`.
        group: processes that each hold a share of the batch, see `distributed`.
        only: the column of the one anchor modality that is computed; by default all are.

    Raises:
        ValueError: fewer than two complete samples in the batch, "shuffled" without a generator,
            unknown negatives or an unknown precision, or a kernel that cannot run.
    """
    method = parse_negatives(negatives, matmul=matmul, kernel=kernel)
    z, available = prepare_slots(z, available)
    samples, complete = (
        int(all_reduce_sum(torch.tensor(count, device=z.device), group))
        for count in (len(available), int(available.all(dim=1).sum()))
    )
    if complete < 2:
        raise few_complete(samples, complete, objective="a Symile step")
    scale = torch.as_tensor(logit_scale, dtype=z.dtype, device=z.device)
    with torch.autocast(z.device.type, enabled=False):
        return method.loss(
            z, scale, available=available, generator=generator, group=group, only=only
        )


@dataclass(frozen=True)
class AllNegatives:
    """Negatives of Symile: every combination of the batch's samples is a candidate.

    Attributes:
        matmul: see `product_logsumexp`.
        kernel: a name of `KERNELS`.
    """

    matmul: str = "highest"
    kernel: str = "tiles"

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
        """Average log Σ exp(logits of all candidates) - positive logit over anchors.

        The matrix of a modality has no row for a sample that misses it, so no combination is
        masked. Each process combines its own samples of the scarcest modality with all processes'
        samples of the others.
        """
        sizes = share_sizes(z, group)
        modalities = z.shape[1]
        scarcest = int(all_reduce_sum(available.sum(dim=0), group).argmin())
        others = [m for m in range(modalities) if m != scarcest]

        z_all, available_all = (
            all_gather_with_grad(v[:, others], sizes, group) for v in (z, available)
        )
        rows = [z_all[has, m] for m, has in enumerate(available_all.T)]
        rows.append(z[available[:, scarcest], scarcest])
        logsumexps = resolve(self.kernel, KERNELS)
        *partial, own = logsumexps(rows, scale, matmul=self.matmul)

        # Row k of a modality's matrix is the k-th sample that has the modality.
        complete = available.all(dim=1)
        mine = local_slice(sizes, group)
        numbers = (available_all.cumsum(dim=0) - 1)[mine][complete]
        denominators = [own[available[:, scarcest].cumsum(dim=0)[complete] - 1]]
        for found, number in zip(partial, numbers.T, strict=True):
            denominators.append(all_reduce_logsumexp(found, group)[number])

        positive = scale * multilinear_products(z[complete].unbind(dim=1))
        losses = torch.stack(denominators) - positive  # [modality, anchor]
        if only is not None:
            losses = losses[[scarcest, *others].index(only)][None]
        return all_reduce_sum(losses.sum(), group) / (
            len(losses) * all_reduce_sum(complete.sum(), group)
        )

    def candidates(self, samples: int, *, modalities: int) -> int:
        """Count the combinations that share one anchor."""
        return samples ** (modalities - 1)

    def flops(self, samples: int, *, modalities: int, dim: int) -> float:
        """Count the floating-point operations of a step, forward and backward."""
        return 8.0 * samples**modalities * dim


def parse_negatives(word: str, *, matmul: str = "highest", kernel: str = "tiles") -> Negatives:
    """Return the negatives that a name of `symile_loss` stands for.

    Raises:
        ValueError: the name, the precision or the kernel is unknown, or they do not go together.
    """
    check_matmul(matmul)
    if kernel not in KERNELS:
        raise ValueError(f"unknown kernel '{kernel}'; expected {' or '.join(KERNELS)}.")
    if kernel != "tiles" and word != "all":
        raise ValueError(
            f"kernel '{kernel}' computes negatives 'all' only; expected 'tiles' with '{word}'."
        )
    plain = {
        "all": AllNegatives(matmul, kernel),
        "shuffled": ShuffledNegatives(),
        "one-slot": SingleReplacement(matmul),
    }
    name, _, count = word.partition("-")
    if name == "cyclic" and count.isdecimal() and int(count) >= 1:
        return CyclicNegatives(int(count), matmul)
    if word not in plain:
        raise ValueError(
            f"unknown negatives '{word}'; expected {', '.join(plain)}, or cyclic-8 with any count "
            "of at least 1."
        )
    return plain[word]


class Symile(Objective):
    """Contrast every modality with the product of all others.

    A sample is an anchor only if it has every modality; the modalities of other samples are used
    in negatives. In `score`, a bank of train embeddings stands for a missing query modality by the
    rule `missing_query`; without a bank, or by the rule "drop", the product leaves it out. The rule
    "marginalize" is exact for negatives "all" and "shuffled", and an approximation for "one-slot"
    and "cyclic-"; see `objectives.missing_query`.

    Source: Saporta et al., "Contrasting with Symile", NeurIPS 2024. https://arxiv.org/abs/2411.01053

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned. Products of unit
            vectors are small: about 1 / dim for three random vectors, and at most 1 / √dim for
            vectors with entries of ±1 / √dim. A scale that starts at 0.1 · dim makes the first
            logits about 0.1.
        negatives: "all" combinations of the batch; "shuffled", one permutation of each modality;
            "cyclic-8", combinations of 8 shifts, or of another count; or "one-slot", which replaces
            the anchor's own modality.
        logit_scale_max: limit of the learned scale. None by default, as in the paper's experiments:
            since the products are small, the scale must grow well past the limit that CLIP needs.
        matmul: precision of float32 products: "highest", "high" or "medium", as PyTorch names them.
        kernel: the kernel of "all": "tiles", or "fused" on a GPU.
        scaling: "plain", or "dvs", dimension-free scaling, with products of M vectors of width d
            multiplied by d^((M - 1) / 2). The product of random unit vectors then has variance 1
            for every d and M, so that a temperature fits all, and scores of queries with and
            without a modality are on one scale. Rheude et al., 2026,
            https://arxiv.org/abs/2604.05834.
        missing_query: "marginalize", "mean_bank", or "drop", the authors' protocol.
        bank_size: train embeddings of each modality in the bank.

    Raises:
        ValueError: fewer than two complete samples in the batch, or unknown scaling.
    """

    display_name = "Symile"
    description = "Contrasts every modality with the product of all others."
    source = (
        'Saporta et al., "Contrasting with Symile", NeurIPS 2024, https://arxiv.org/abs/2411.01053'
    )

    def __init__(
        self,
        *,
        temperature: float = 0.1,
        negatives: str = "all",
        logit_scale_max: float = inf,
        matmul: str = "highest",
        kernel: str = "tiles",
        scaling: str = "plain",
        missing_query: str = "marginalize",
        bank_size: int = 512,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(at_least(1, bank_size=bank_size), one_of(("plain", "dvs"), scaling=scaling))
        self.scaling = scaling
        self.missing_query = check_rule(missing_query)
        self.bank_size = bank_size
        self.sampled = parse_negatives(negatives, matmul=matmul, kernel=kernel)
        self.negatives = negatives
        self.matmul = matmul
        self.kernel = kernel

    def distributed_loss(
        self, share: Embeddings, *, group: Group, generator: torch.Generator | None = None
    ) -> Float[Tensor, ""]:
        """Compute the loss of the whole batch; with negatives "all" the processes share the work.

        Shuffled negatives are drawn from `generator`.
        """
        if share.fill is not None:
            return loss_with_replacements(self, share, group=group, generator=generator)
        return self._loss(share, group=group, generator=generator)

    def target_loss(
        self,
        share: Embeddings,
        *,
        target: int,
        group: Group,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Compute the loss of the anchors of a modality; see `TargetedObjective`."""
        return self._loss(share, group=group, generator=generator, only=target)

    def _loss(
        self,
        share: Embeddings,
        *,
        group: Group,
        generator: torch.Generator | None,
        only: int | None = None,
    ) -> Float[Tensor, ""]:
        z, available = share.with_substitutes()
        return symile_loss(
            z,
            self._scale(z.shape[2], vectors=z.shape[1]),
            available=available,
            negatives=self.negatives,
            generator=generator,
            matmul=self.matmul,
            kernel=self.kernel,
            group=group,
            only=only,
        )

    def score(
        self,
        query: Embeddings,
        candidates: Float[Tensor, "*query candidate dim"],
        *,
        target: str,
        bank: Bank | None = None,
    ) -> Float[Tensor, "query candidate"]:
        """Compute the multilinear inner product of a candidate with the query's modalities.

        Args:
            query: see `Objective.score`.
            candidates: [candidate, dim] for all queries, or with a bank [query, candidate, dim].
            target: see `Objective.score`.
            bank: train embeddings for missing query modalities; None leaves their factors out.

        Raises:
            ValueError: a query has no modality available, or the bank lacks a missing modality.
        """
        modalities, dim = len(query.modalities), query.z.shape[2]
        scores = multilinear_score(
            query,
            candidates,
            target=target,
            bank=bank,
            logit_scale=float(self._scale(dim, vectors=modalities).detach()),
            rule=self.missing_query or "drop",
        )
        if self.scaling == "plain":
            return scores
        # Without a bank a product has as many vectors as the query has modalities, and the target.
        columns = query_columns(query, target=target)
        used = query.with_substitutes()[1][:, columns].sum(dim=1)
        if bank is not None and self.missing_query != "drop":
            used = torch.full_like(used, len(columns))
        return scores * (float(dim) ** (used.double() / 2)).to(scores)[:, None]

    def _scale(self, dim: int, *, vectors: int) -> Float[Tensor, ""]:
        """Return the multiplier of the product of some vectors of a width."""
        if self.scaling == "plain":
            return self.logit_scale
        return self.logit_scale * dim ** ((vectors - 1) / 2)

    def n_candidates(self, samples: int, *, modalities: int) -> int | None:
        """Count the combinations that each anchor is contrasted with, its own included."""
        return self.sampled.candidates(samples, modalities=modalities)

    def flops(self, samples: int, *, modalities: int, dim: int) -> float | None:
        """Count the floating-point operations of a step's loss and gradients, complete batch."""
        return self.sampled.flops(samples, modalities=modalities, dim=dim)
