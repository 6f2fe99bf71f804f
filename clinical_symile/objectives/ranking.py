"""Losses on differences of scores, which bound the area under the ROC curve."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus

from clinical_symile.objectives.arguments import one_of, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.kernels.base import refuse_second_derivative
from clinical_symile.objectives.kernels.scores import Excluded, reduce_scores
from clinical_symile.objectives.pairs import complete_pairs

_CELLS = 2**22  # differences computed at a time


class AucLoss(Objective):
    """Prefer each partner to negatives by a smooth loss on the difference of their scores.

    With S = s ⟨x_i, y_j⟩, "query" averages log(1 + exp(S_ij - S_ii)) over i ≠ j for every ordered
    pair of modalities. "global" compares each positive with the negatives of all queries, log(1 +
    exp(S_jk - S_ii)) over i and j ≠ k, so that thresholds carry over between queries. It needs n³
    operations in memory that grows with n. Both bound 1 - AUC up to the factor log 2.

    Source: the Mann-Whitney form of the logistic loss on pairs, see Gao and Zhou, "On the
    Consistency of AUC Pairwise Optimization", IJCAI 2015.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        over: "query" or "global".
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: `over` is unknown, or no two samples have the same two modalities.
    """

    display_name = "AUC"
    description = "Prefers each partner to negatives, by differences of scores."
    source = 'Gao and Zhou, "On the Consistency of AUC Pairwise Optimization", IJCAI 2015'

    def __init__(
        self, *, temperature: float = 0.1, over: str = "query", logit_scale_max: float = 100.0
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(one_of(("query", "global"), over=over))
        self.over = over

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """See the class."""
        scale = self.logit_scale.to(z.dtype)
        of_one = query_auc_loss if self.over == "query" else global_auc_loss
        pairs = complete_pairs(z, available, objective="an AUC step", ordered=self.over == "query")
        return torch.stack([of_one(pair.first, pair.second, scale) for pair in pairs]).mean()


def query_auc_loss(
    first: Float[Tensor, "sample dim"],
    second: Float[Tensor, "sample dim"],
    logit_scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Compute the mean of log(1 + exp(S_ij - S_ii)) over i ≠ j."""
    n = len(first)
    codes = torch.arange(n, device=first.device)
    positives = logit_scale * (first * second).sum(dim=1)
    found = reduce_scores(
        _above_own,
        [first, positives],
        [second],
        [logit_scale],
        excluded=Excluded(codes, codes),
        only="row_sums",
    )
    return found.row_sums.sum() / (n * (n - 1))


def global_auc_loss(
    first: Float[Tensor, "sample dim"],
    second: Float[Tensor, "sample dim"],
    logit_scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Compute the mean of log(1 + exp(S_jk - S_ii)) over i and j ≠ k."""
    n = len(first)
    codes = torch.arange(n, device=first.device)
    positives = logit_scale * (first * second).sum(dim=1)
    found = reduce_scores(
        _above_all,
        [first],
        [second],
        [logit_scale, positives],
        excluded=Excluded(codes, codes),
        only="row_sums",
    )
    return found.row_sums.sum() / (n * n * (n - 1))


def _above_own(left, right, parameters):
    """Return log(1 + exp(S_ij - S_ii))."""
    vectors, positives = left
    (scale,) = parameters
    return softplus(scale * (vectors @ right[0].T) - positives[:, None])


def _above_all(left, right, parameters):
    """Return Σ_i log(1 + exp(S_jk - S_ii)) for each cell jk."""
    scale, positives = parameters
    return _SoftplusSums.apply(scale * (left[0] @ right[0].T), positives)


class _SoftplusSums(torch.autograd.Function):
    """Σ_i log(1 + exp(x - t_i)) for each x, a part of the t at a time."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, thresholds: Tensor) -> Tensor:
        ctx.save_for_backward(values, thresholds)
        total = torch.zeros_like(values)
        for part in _parts(values, thresholds):
            total += softplus(values[..., None] - thresholds[part]).sum(dim=-1)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        refuse_second_derivative()
        values, thresholds = ctx.saved_tensors
        of_values, of_thresholds = torch.zeros_like(values), torch.zeros_like(thresholds)
        for part in _parts(values, thresholds):
            slopes = (values[..., None] - thresholds[part]).sigmoid()
            of_values += slopes.sum(dim=-1)
            of_thresholds[part] -= (slopes * gradients[0][..., None]).sum(dim=(0, 1))
        return of_values * gradients[0], of_thresholds


def _parts(values: Tensor, thresholds: Tensor):
    """Yield slices of the thresholds, so that few differences are in memory."""
    step = max(_CELLS // max(values.numel(), 1), 1)
    for start in range(0, len(thresholds), step):
        yield slice(start, start + step)
