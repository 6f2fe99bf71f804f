"""CLIP for any number of modalities: contrast every pair of them."""

from itertools import combinations
from math import comb

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.base import (
    Objective,
    inner_products,
    no_pair_message,
    prepare_slots,
    query_embeddings,
)
from clinical_symile.objectives.distributed import (
    Group,
    all_gather_with_grad,
    all_reduce_logsumexp,
    all_reduce_sum,
    local_slice,
    share_sizes,
)
from clinical_symile.objectives.kernels.base import check_matmul
from clinical_symile.objectives.kernels.tiled import product_logsumexp

_REDUCTIONS = ("mean", "sum")


def clip_loss(
    z: Float[Tensor, "sample modality dim"],
    logit_scale: float | Float[Tensor, ""],
    *,
    available: Bool[Tensor, "sample modality"] | None = None,
    reduction: str = "mean",
    matmul: str = "highest",
    group: Group = None,
) -> Float[Tensor, ""]:
    """Compute the cross-entropy of picking a sample's own partner, both ways, over all pairs.

    For modalities a and b the logits are logit_scale · <z_a^i, z_b^j>; the loss of the
    pair is half the mean over i of the cross-entropies of row i and of column i, with i correct.

    Only the log-sum-exps of rows and columns are kept of the n² logits, both from the same tiles.
    Memory grows as n · d.

    A pair uses the samples that have both of its modalities. A pair with fewer than two of them
    is left out; the other pairs have equal weights.

    Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
    2021, figure 3 (https://arxiv.org/abs/2103.00020), summed over pairs as in the baseline of
    Saporta et al., "Contrasting with Symile", 2024 (https://arxiv.org/abs/2411.01053).

    Args:
        z: embeddings; any values where unavailable.
        logit_scale: the multiplier itself, not its logarithm.
        available: True where a sample has the modality; by default all.
        reduction: "mean" or "sum" over the pairs. Symile's authors use the sum.
        matmul: precision of float32 products, see `product_logsumexp`.
        group: processes that each hold a share of the batch, see `distributed`.

    Raises:
        ValueError: no pair has two samples, or the reduction or the precision is unknown.
    """
    _check_reduction(reduction)
    z, available = prepare_slots(z, available)
    sizes = share_sizes(z, group)
    z_all, available_all = (
        all_gather_with_grad(z[:, 1:], sizes, group),
        all_gather_with_grad(available, sizes, group),
    )
    scale = torch.as_tensor(logit_scale, dtype=z.dtype, device=z.device)
    pairs = []
    with torch.autocast(z.device.type, enabled=False):
        for a, b in combinations(range(z.shape[1]), 2):
            both, both_all = available[:, [a, b]].all(dim=1), available_all[:, [a, b]].all(dim=1)
            count = int(both_all.sum())
            if count < 2:
                continue
            first, second = z[both, a], z[both, b]
            forth, back = product_logsumexp([first, z_all[both_all, b - 1]], scale, matmul=matmul)
            number = (both_all.cumsum(dim=0) - 1)[local_slice(sizes, group)][both]
            positive = scale * (first * second).sum(dim=1)
            losses = (forth + all_reduce_logsumexp(back, group)[number]) / 2 - positive
            pairs.append(all_reduce_sum(losses.sum(), group) / count)
    if not pairs:
        raise ValueError(no_pair_message(sum(sizes), objective="a CLIP step"))
    losses = torch.stack(pairs)
    return losses.mean() if reduction == "mean" else losses.sum()


def _check_reduction(reduction: str) -> None:
    if reduction not in _REDUCTIONS:
        raise ValueError(f"unknown reduction '{reduction}'; expected 'mean' or 'sum'.")


class Clip(Objective):
    """Contrast every pair of modalities.

    A sample takes part in the pairs of the modalities that it has. In `score`, the sum leaves out
    a missing query modality.

    Source: see `clip_loss`.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        reduction: "mean" or "sum" over the pairs.
        logit_scale_max: limit of the learned scale; 100 as in CLIP, section 2.5. `inf` for none, as
            in the experiments of Symile's authors.
        matmul: precision of float32 products, see `product_logsumexp`.

    Raises:
        ValueError: no two samples of the batch have the same two modalities.
    """

    display_name = "CLIP"
    description = "Contrasts every pair of modalities."
    source = (
        'Radford et al., "Learning Transferable Visual Models From Natural Language '
        'Supervision", 2021, https://arxiv.org/abs/2103.00020'
    )

    def __init__(
        self,
        *,
        temperature: float = 0.07,
        reduction: str = "mean",
        logit_scale_max: float = 100.0,
        matmul: str = "highest",
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        _check_reduction(reduction)
        check_matmul(matmul)
        self.reduction = reduction
        self.matmul = matmul

    def distributed_loss(
        self, share: Embeddings, *, group: Group, generator: torch.Generator | None = None
    ) -> Float[Tensor, ""]:
        """Compute the loss of the whole batch; each process its own rows, nothing is random."""
        z, available = share.with_substitutes()
        return clip_loss(
            z,
            self.logit_scale,
            available=available,
            reduction=self.reduction,
            matmul=self.matmul,
            group=group,
        )

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate dim"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """Sum the inner products of a candidate with each available modality of the query.

        Raises:
            ValueError: a query has no modality available.
        """
        total = query_embeddings(query, target=target, fill=0.0).sum(dim=1)
        return inner_products(total, candidates)

    def n_candidates(self, samples: int, *, modalities: int) -> int | None:
        """None: a loss over pairs does not estimate the total correlation."""
        return None

    def flops(self, samples: int, *, modalities: int, dim: int) -> float | None:
        """Count the floating-point operations of a step's loss and gradients, complete batch."""
        return 8.0 * comb(modalities, 2) * samples**2 * dim
