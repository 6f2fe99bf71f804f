"""Compute log-sum-exps over all combinations of rows of M matrices, tile by tile.

For M matrices z_1 … z_M of n_m rows and the same number of columns, a combination of one row from
each has the logit

    T[i_1 … i_M] = s · Σ_d z_1[i_1, d] · … · z_M[i_M, d].

These n_1 · … · n_M numbers are the cube. A contrastive loss needs, for every row of every matrix,
the log-sum-exp of the logits of the combinations with that row,

    L_m[i] = log Σ_{i_1 … i_M with i_m = i} exp T[i_1 … i_M].

All of them are computed from the same cube, whose logits are never stored as a whole. T is linear
in each matrix, so that s is multiplied into one of them.

Forward. The matrices are divided into two sides, so that the cube is one product T = A Bᵀ. A row of
A is the product of a combination of rows from the left side; a row of B of one from the right. The
product is computed in tiles, some rows of A with some rows of B. A tile adds to every L_m that it
meets and is discarded.

Backward. Let g_m[i] be the gradient of the loss with respect to L_m[i]. A logit is part of L_m[i_m]
for each m, with the softmax weight exp(T - L_m[i_m]). Its gradient is therefore

    W = Σ_m g_m[i_m] · exp(T - L_m[i_m]),

of the same shape as T, and with T = A Bᵀ

    ∂A = W B,    ∂B = Wᵀ A.

A row of A is x_i ⊙ w_o, a row of the side's last matrix times a product of rows of its others. So

    ∂x_i = Σ_o ∂A_oi ⊙ w_o    and    ∂w_o = Σ_i ∂A_oi ⊙ x_i

need no matrix product, and neither do the factors of w_o.

The matrices and L_m are kept between the passes. Tiles are computed again, except the first ones,
as many as `KEPT_BYTES` hold: this makes small batches faster and large ones no larger.

The cost is 2 Π n_m · d operations forward and 6 Π n_m · d backward, for any M, and memory for the
matrices, their gradients and a tile.

One exponential for all. With one logit c that is among the largest, the same exp(T - c) serves
every L_m = c + log Σ exp(T - c). Backward W = exp(T - c) · Σ_m g_m[i_m] exp(c - L_m[i_m]). An
overflow shows in the sums. An underflow is less than rounding, unless some L_m is far below c. In
either case both passes use an exponential of its own for each log-sum-exp, which is exact, since
T ≤ L_m.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial, reduce
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from clinical_symile.objectives.kernels._separate_exponentials import (
    separate_gradients,
    separate_logsumexps,
)
from clinical_symile.objectives.kernels._tiles import (
    TileBuffer,
    TileSide,
    WeightedTile,
    iterate_tiles,
    split_sides,
    sum_gradients,
    tile_size,
)
from clinical_symile.objectives.kernels.base import (
    check_matmul,
    is_rescaling_exact,
    order_by_size,
    refuse_second_derivative,
)
from clinical_symile.registry.source import describe_as

# Memory for exponentials of the first tiles, which the backward pass need not compute again.
KEPT_BYTES = 56 * 2**20


@describe_as(
    display_name="tiles",
    description="Computes the logits of all combinations in tiles, on any device.",
)
def product_logsumexp(
    matrices: Sequence[Float[Tensor, "_ dim"]],
    scale: float | Float[Tensor, ""],
    *,
    matmul: str = "highest",
) -> tuple[Float[Tensor, " _"], ...]:
    """Compute, for each row of each matrix, the log-sum-exp of its combinations' logits.

    It is minus infinity if there is no combination, since another matrix has no row.

    Args:
        matrices: at least two.
        scale: the multiplier s of the logits.
        matmul: precision of float32 products, as in `torch.set_float32_matmul_precision`:
            "highest" is float32, "high" is TensorFloat32 and "medium" bfloat16 if the device has
            them.

    Raises:
        ValueError: fewer than two matrices, or an unknown precision.
        NotImplementedError: in the backward pass, if the gradient shall have a gradient itself.
    """
    check_matmul(matmul)
    if len(matrices) < 2:
        raise ValueError(f"a cube of {len(matrices)} matrices; expected at least 2.")
    return order_by_size(matrices, scale, partial(_ProductLogSumExp.apply, matmul))


class _ProductLogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matmul: str, *matrices: Tensor) -> tuple[Tensor, ...]:
        with _matmul_precision(matmul, matrices[0].device):
            logsumexps, shared = _logsumexps(matrices)
        kept = (shared.reference, shared.kept) if shared else ()
        ctx.save_for_backward(*matrices, *logsumexps, *kept)
        ctx.tile_size, ctx.matmul = shared.tile_size if shared else None, matmul
        return tuple(values.to(matrices[0].dtype) for values in logsumexps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        saved, count = ctx.saved_tensors, len(gradients)
        matrices, logsumexps, kept = saved[:count], saved[count : 2 * count], saved[2 * count :]
        with _matmul_precision(ctx.matmul, matrices[0].device):
            if kept:
                shared = _SharedExponential(kept[0], kept[1], ctx.tile_size)
                left, right = split_sides(matrices)
                weights = _weights(left, right, logsumexps, gradients, shared)
                found = sum_gradients(left, right, weights)
            else:
                found = separate_gradients(matrices, logsumexps, gradients)
        return None, *found


@contextmanager
def _matmul_precision(matmul: str, device: torch.device) -> Iterator[None]:
    """Set the precision of float32 products, and turn autocast off."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(matmul)
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


class _SharedExponential(NamedTuple):
    """The exponential that serves all log-sum-exps, as both passes need it.

    Attributes:
        reference: c.
        kept: exp(T - c) of the first tiles, one after the other.
        tile_size: rows of each side in a tile; the backward pass must use the same.
    """

    reference: Float[Tensor, ""]
    kept: Float[Tensor, " _"]
    tile_size: tuple[int, int]


def _logsumexps(
    matrices: Sequence[Tensor],
) -> tuple[list[Float[Tensor, " _"]], _SharedExponential | None]:
    """Compute L_m in float64; return also the shared exponential, or None if it is not exact."""
    left, right = split_sides(matrices)
    buffer, some = TileBuffer(matrices[0]), matrices[0]
    reference, size = some.new_zeros(()), tile_size(left, right)
    kept = some.new_empty(min(KEPT_BYTES // some.element_size(), left.rows * right.rows))
    sums = [torch.zeros_like(z[:, 0], dtype=torch.float64) for z in matrices]
    for tile in iterate_tiles(left, right, size):
        out = tile.view_in(kept)
        if out is None:
            out = buffer("logits", len(tile.a), len(tile.b))
        logits = torch.mm(tile.a, tile.b.T, out=out)
        if tile.start == 0:
            reference = logits.max()
        exponentials = logits.sub_(reference).exp_()
        left.add_sums(tile.rows, exponentials.sum(dim=1), sums)
        right.add_sums(tile.columns, exponentials.sum(dim=0), sums)
    found = [reference + total.log() for total in sums]
    if is_rescaling_exact(found, reference):
        return found, _SharedExponential(reference, kept, size)
    return separate_logsumexps(matrices), None


def _weights(
    left: TileSide,
    right: TileSide,
    logsumexps: Sequence[Tensor],
    gradients: Sequence[Tensor],
    shared: _SharedExponential,
) -> Iterator[WeightedTile]:
    """Yield W of each tile, from the exponential that all log-sum-exps share."""
    buffer, (reference, kept, size) = TileBuffer(left.matrices[0]), shared
    factors = [  # g_m · exp(c - L_m)
        (g * (reference - lse).exp()).to(g.dtype)
        for g, lse in zip(gradients, logsumexps, strict=True)
    ]
    for tile in iterate_tiles(left, right, size):
        of_row = reduce(torch.add, left.entries(tile.rows, factors))
        of_column = reduce(torch.add, right.entries(tile.columns, factors))
        exponentials, shape = tile.view_in(kept), (len(tile.a), len(tile.b))
        if exponentials is None:
            logits = torch.mm(tile.a, tile.b.T, out=buffer("logits", *shape))
            exponentials = logits.sub_(reference).exp_()
        w = torch.add(of_row[:, None], of_column, out=buffer("weights", *shape))
        yield tile, w.mul_(exponentials)
