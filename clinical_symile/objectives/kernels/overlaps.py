"""The log overlap of every pair of two sides' Gaussians, in blocks in both directions."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from clinical_symile.objectives.kernels.base import refuse_second_derivative

# Numbers of a block [row, column, dim]: small enough for a processor's cache.
_BLOCK = 2**17


def log_overlaps(
    means: Float[Tensor, "left dim"],
    log_variances: Float[Tensor, "left dim"],
    other_means: Float[Tensor, "right dim"],
    other_log_variances: Float[Tensor, "right dim"],
) -> Float[Tensor, "left right"]:
    """Compute ln ∫ √(p q) of diagonal Gaussians p and q, the log of the Bhattacharyya coefficient.

    With v the variances it is Σ_k [½ ln(2 √(v_1 v_2) / (v_1 + v_2)) - (μ_1 - μ_2)² / (4 (v_1 +
    v_2))], at most 0. It is no matrix product: each pair needs its own numbers for each dimension.
    These are computed in blocks, forward and again backward, and never kept. A second derivative
    raises an error.

    Args:
        means: of the left side.
        log_variances: of the left side.
        other_means: of the right side.
        other_log_variances: of the right side.
    """
    return _LogOverlaps.apply(means, log_variances, other_means, other_log_variances)


class _LogOverlaps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Tensor:
        ctx.save_for_backward(*tensors)
        means, logs, other_means, other_logs = tensors
        variances, other_variances = logs.exp(), other_logs.exp()
        widths = logs.sum(dim=1)[:, None] / 4 + other_logs.sum(dim=1) / 4
        found = widths + means.shape[1] * math.log(2) / 2
        for rows in _blocks(means, other_means):
            sums = variances[rows, None] + other_variances
            gaps = means[rows, None] - other_means
            found[rows] -= _log_products(sums) / 2
            found[rows] -= (gaps / sums).mul_(gaps).sum(dim=2) / 4
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        refuse_second_derivative()
        means, logs, other_means, other_logs = ctx.saved_tensors
        (weights,) = gradients
        variances, other_variances = logs.exp(), other_logs.exp()
        of_means, of_variances = torch.zeros_like(means), torch.zeros_like(means)
        of_other_means, of_other_variances = (torch.zeros_like(other_means) for _ in range(2))
        for rows in _blocks(means, other_means):
            inverses = (variances[rows, None] + other_variances).reciprocal_()
            pulls = (means[rows, None] - other_means).mul_(inverses)
            # The derivative by a variance, of either side: pull² / 4 - 1 / (2 (v_1 + v_2)).
            slopes = inverses.mul_(-0.5).addcmul_(pulls, pulls, value=0.25)
            block = weights[rows]
            for into, other_into, parts in (
                (of_means, of_other_means, pulls),
                (of_variances, of_other_variances, slopes),
            ):
                into[rows] = (block[:, None] @ parts)[:, 0]
                other_into += parts.mul_(block[:, :, None]).sum(dim=0)
        return (
            of_means / -2,
            of_variances * variances + weights.sum(dim=1)[:, None] / 4,
            of_other_means / 2,
            of_other_variances * other_variances + weights.sum(dim=0)[:, None] / 4,
        )


def _blocks(left: Tensor, right: Tensor) -> Iterator[slice]:
    """Yield the rows of each block."""
    step = max(_BLOCK // max(right.numel(), 1), 1)
    for start in range(0, len(left), step):
        yield slice(start, start + step)


def _log_products(positive: Float[Tensor, "*any dim"]) -> Float[Tensor, "*any"]:
    """Compute Σ_k ln x_k, with one logarithm of a product of four numbers.

    Products stay within float32 for numbers from exp(-20) to exp(20).
    """
    whole = positive.shape[-1] // 4 * 4
    first, second = positive[..., :whole].chunk(2, dim=-1)
    products = first * second
    first, second = products.chunk(2, dim=-1)
    found = (first * second).log_().sum(dim=-1)
    rest = positive[..., whole:]
    return found + rest.log().sum(dim=-1) if rest.shape[-1] else found
