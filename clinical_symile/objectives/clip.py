"""CLIP for any number of modalities: every pair of them is contrasted."""

from itertools import combinations
from math import comb

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.base import (
    Objective,
    inner_products,
    prepare_slots,
    query_slots,
)
from clinical_symile.objectives.distributed import (
    Group,
    all_gather_with_grad,
    all_reduce_logsumexp,
    all_reduce_sum,
    local_slice,
    share_sizes,
)
from clinical_symile.objectives.kernels.tiled import check_matmul, product_logsumexp

REDUCTIONS = ("mean", "sum")


def clip_loss(
    z: Float[Tensor, "sample modality dim"],
    logit_scale: float | Float[Tensor, ""],
    *,
    present: Bool[Tensor, "sample modality"] | None = None,
    reduction: str = "mean",
    matmul: str = "highest",
    group: Group = None,
) -> Float[Tensor, ""]:
    """Cross-entropy of picking a sample's own partner, in both directions, over all pairs.

    For modalities a and b the logits are logit_scale · <z_a^i, z_b^j>; the pair's loss is the mean
    over i of the cross-entropy of row i and of column i with i right, halved.

    Of the n² logits only the log-sum-exps of rows and columns are kept, both read off the same
    tiles, so that memory grows as n · d.

    A pair uses the samples that have both of its modalities. A pair with fewer than two of them
    cannot teach and is left out; the other pairs count alike.

    Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
    2021, figure 3 (https://arxiv.org/abs/2103.00020), summed over pairs as in the baseline of
    Saporta et al., "Contrasting with Symile", 2024 (https://arxiv.org/abs/2411.01053).

    Args:
        z: embeddings; anything where absent.
        logit_scale: the multiplier itself, not its logarithm.
        present: True where a sample has the modality; all, if not given.
        reduction: of the pairs. Symile's authors sum them.
        matmul: precision of float32 products, see `product_logsumexp`.
        group: processes that each hold a share of the batch, see `processes`. The loss is the whole
            batch's, and its gradients are such that their average over processes is right.

    Raises:
        ValueError: no pair has two samples, or the reduction or the precision is unknown.
    """
    _check_reduction(reduction)
    z, present = prepare_slots(z, present)
    sizes = share_sizes(z, group)
    z_all, present_all = (
        all_gather_with_grad(z[:, 1:], sizes, group),
        all_gather_with_grad(present, sizes, group),
    )
    scale = torch.as_tensor(logit_scale, dtype=z.dtype, device=z.device)
    pairs = []
    with torch.autocast(z.device.type, enabled=False):
        for a, b in combinations(range(z.shape[1]), 2):
            both, both_all = present[:, [a, b]].all(dim=1), present_all[:, [a, b]].all(dim=1)
            count = int(both_all.sum())
            if count < 2:
                continue
            first, second = z[both, a], z[both, b]
            forth, back = product_logsumexp([first, z_all[both_all, b - 1]], scale, matmul=matmul)
            number = (both_all.cumsum(dim=0) - 1)[local_slice(sizes, group)][both]
            right = scale * (first * second).sum(dim=1)
            losses = (forth + all_reduce_logsumexp(back, group)[number]) / 2 - right
            pairs.append(all_reduce_sum(losses.sum(), group) / count)
    if not pairs:
        raise ValueError(
            f"a CLIP step needs at least 2 samples with the same two modalities; this batch of "
            f"{sum(sizes)} has no such pair. Raise batch_size, or train on a cohort where more "
            "samples have two modalities."
        )
    losses = torch.stack(pairs)
    return losses.mean() if reduction == "mean" else losses.sum()


def _check_reduction(reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise ValueError(f"unknown reduction '{reduction}'; expected 'mean' or 'sum'.")


class Clip(Objective):
    """Contrast every pair of modalities.

    Absent modalities: a sample takes part in the pairs of the modalities that it has. In `score`,
    an absent query modality leaves the sum.

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

    def forward(
        self, embeddings: Embeddings, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, ""]:
        """The loss of a batch; draws nothing."""
        return self.of_share(embeddings, group=None, generator=generator)

    def of_share(
        self, share: Embeddings, *, group: Group, generator: torch.Generator | None = None
    ) -> Float[Tensor, ""]:
        """The loss of the whole batch; each process takes its own samples' rows of the logits."""
        z, counts = share.filled()
        return clip_loss(
            z,
            self.logit_scale,
            present=counts,
            reduction=self.reduction,
            matmul=self.matmul,
            group=group,
        )

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate dim"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """Sum of the inner products of a candidate with each usable modality of the query.

        Raises:
            ValueError: a query has nothing present.
        """
        z, counts = query_slots(query, target=target)
        total = torch.where(counts[:, :, None], z.double(), 0.0).sum(dim=1)
        return inner_products(total, candidates)

    def candidates_per_anchor(self, samples: int, *, modalities: int) -> int | None:
        """None: the loss is about pairs, and says nothing of the total correlation."""
        return None

    def operations(self, samples: int, *, modalities: int, dim: int) -> float | None:
        """Floating-point operations of a step's loss and its gradients, for a complete batch."""
        return 8.0 * comb(modalities, 2) * samples**2 * dim
