"""Cross-entropies with soft targets, computed tile by tile from similarities of two sides."""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from clinical_symile.objectives.kernels.scores import (
    Excluded,
    TileScore,
    inner_product_score,
    reduce_scores,
)


class Targets(NamedTuple):
    """The log weights of candidates, from which the targets of each row follow.

    The target q_ij is exp(log_weight_ij) over the sum of its row.

    Attributes:
        log_weight: computes a tile of log weights from `left` and `right`; -inf for no weight.
        left: tensors with a row for each sample of the left side.
        right: tensors with a row for each sample of the right side.
    """

    log_weight: TileScore
    left: Sequence[Tensor]
    right: Sequence[Tensor]

    def transposed(self) -> "Targets":
        """Return the targets of the right side; log weights must not depend on the sides' order."""
        return Targets(self.log_weight, self.right, self.left)


def product_targets(
    left: Float[Tensor, "left dim"], right: Float[Tensor, "right dim"], scale: float | Tensor
) -> Targets:
    """Return the targets softmax_j(scale ⟨x_i, y_j⟩), without gradient."""
    return Targets(_products, [(scale * left).detach()], [right.detach()])


def soft_target_losses(
    left: Float[Tensor, "left dim"],
    right: Float[Tensor, "right dim"],
    logit_scale: Float[Tensor, ""],
    targets: Targets,
    *,
    excluded: Excluded | None = None,
) -> tuple[Float[Tensor, " left"], Float[Tensor, " left"]]:
    """Compute -Σ_j q_ij log softmax_j(s ⟨x_i, y_j⟩) of each row i, and log Σ_j exp(log_weight_ij).

    The matrices of scores and of targets are never in memory. Targets have no gradient. A row
    without any weight has a loss of 0 and a log sum of -inf.

    Args:
        left: embeddings of the rows.
        right: embeddings of the candidates.
        logit_scale: the multiplier of inner products.
        targets: the weights of candidates.
        excluded: cells that are neither candidates nor targets, such as each sample with itself.
    """
    with torch.no_grad():
        totals = reduce_scores(
            targets.log_weight, targets.left, targets.right, excluded=excluded, only="rows"
        ).rows
    denominators = reduce_scores(
        inner_product_score, [left], [right], [logit_scale], excluded=excluded, only="rows"
    ).rows
    expected = reduce_scores(
        partial(_weighted_score, targets.log_weight),
        [left, totals, *targets.left],
        [right, *targets.right],
        [logit_scale],
        excluded=excluded,
        only="row_sums",
    ).row_sums
    has_target = totals > -math.inf
    losses = torch.where(has_target, denominators, 0.0) - expected
    return losses, totals


def _products(left: Sequence[Tensor], right: Sequence[Tensor], _: Sequence[Tensor]) -> Tensor:
    return left[0] @ right[0].T


def _weighted_score(
    log_weight: TileScore,
    left: Sequence[Tensor],
    right: Sequence[Tensor],
    parameters: Sequence[Tensor],
) -> Tensor:
    """Compute q_ij s ⟨x_i, y_j⟩; the log sums of rows are the second tensor of the left side."""
    totals = left[1].masked_fill(left[1] == -math.inf, math.inf)
    shares = (log_weight(left[2:], right[1:], ()) - totals[:, None]).exp()
    return shares * inner_product_score(left[:1], right[:1], parameters)
