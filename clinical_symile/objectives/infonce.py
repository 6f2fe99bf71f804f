"""The cross-entropy of picking a sample's own partner, over every pair of modalities."""

from itertools import combinations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.objectives.distributed import (
    Group,
    all_gather_with_grad,
    all_reduce_logsumexp,
    all_reduce_sum,
    local_slice,
    share_sizes,
)
from clinical_symile.objectives.kernels.scores import Excluded, inner_product_score, reduce_scores
from clinical_symile.objectives.kernels.soft_targets import Targets, soft_target_losses
from clinical_symile.objectives.kernels.tiled import product_logsumexp
from clinical_symile.objectives.slots import no_pair, prepare_slots

_REDUCTIONS = ("mean", "sum")


def clip_loss(
    z: Float[Tensor, "sample modality dim"],
    logit_scale: float | Float[Tensor, ""],
    *,
    available: Bool[Tensor, "sample modality"] | None = None,
    reduction: str = "mean",
    matmul: str = "highest",
    group: Group = None,
    only: int | None = None,
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
        only: the column of a modality whose pairs alone are computed; by default all are.

    Raises:
        ValueError: no pair has two samples, or the reduction or the precision is unknown.
    """
    check_reduction(reduction)
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
            if only not in (None, a, b):
                continue
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
        raise no_pair(sum(sizes), objective="a CLIP step")
    losses = torch.stack(pairs)
    return losses.mean() if reduction == "mean" else losses.sum()


def two_way_losses(
    first: Float[Tensor, "sample dim"],
    second: Float[Tensor, "sample dim"],
    logit_scale: Float[Tensor, ""],
) -> tuple[Float[Tensor, " sample"], Float[Tensor, " sample"]]:
    """Compute each sample's cross-entropy of picking its own partner, in both directions.

    Args:
        first: embeddings of one modality.
        second: embeddings of another one, of the same samples.
        logit_scale: the multiplier of inner products.
    """
    found = reduce_scores(inner_product_score, [first], [second], [logit_scale])
    own = logit_scale * (first * second).sum(dim=1)
    return found.rows - own, found.columns - own


def one_way_losses(
    first: Float[Tensor, "sample dim"],
    second: Float[Tensor, "sample dim"],
    logit_scale: Float[Tensor, ""],
) -> Float[Tensor, " sample"]:
    """Compute each sample's cross-entropy of picking its second embedding by its first.

    See `two_way_losses`.
    """
    found = reduce_scores(inner_product_score, [first], [second], [logit_scale], only="rows")
    return found.rows - logit_scale * (first * second).sum(dim=1)


def nt_xent_losses(
    first: Float[Tensor, "sample dim"],
    second: Float[Tensor, "sample dim"],
    logit_scale: Float[Tensor, ""],
) -> Float[Tensor, " token"]:
    """Compute each embedding's cross-entropy of picking its partner among all others of both.

    Returns the losses of the first embeddings, then those of the second; see `two_way_losses`.
    """
    tokens = torch.cat([first, second])
    codes = torch.arange(len(tokens), device=tokens.device)
    found = reduce_scores(
        inner_product_score,
        [tokens],
        [tokens],
        [logit_scale],
        excluded=Excluded(codes, codes),
        only="rows",
    )
    agreement = (first * second).sum(dim=1)
    return found.rows - logit_scale * torch.cat([agreement, agreement])


def two_way_soft_loss(
    first: Float[Tensor, "first dim"],
    second: Float[Tensor, "second dim"],
    logit_scale: Float[Tensor, ""],
    forth: Targets,
    back: Targets,
) -> Float[Tensor, ""]:
    """Compute the mean of both directions' mean cross-entropies with soft targets.

    Args:
        first: embeddings of one modality.
        second: embeddings of another one.
        logit_scale: the multiplier of inner products.
        forth: the targets of the first among the second.
        back: the targets of the second among the first.
    """
    of_first, _ = soft_target_losses(first, second, logit_scale, forth)
    of_second, _ = soft_target_losses(second, first, logit_scale, back)
    return (of_first.mean() + of_second.mean()) / 2


def check_reduction(reduction: str) -> None:
    """Refuse a reduction over pairs that is neither "mean" nor "sum".

    Raises:
        ValueError: the reduction is unknown.
    """
    if reduction not in _REDUCTIONS:
        raise ValueError(f"unknown reduction '{reduction}'; expected 'mean' or 'sum'.")
