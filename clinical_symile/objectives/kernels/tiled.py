"""Log-sum-exps over all combinations of the rows of several matrices, which are never kept.

For M matrices z_1 … z_M of n_m rows and the same number of columns, a combination of one row from
each has the logit

    T[i_1 … i_M] = s · Σ_d z_1[i_1, d] · … · z_M[i_M, d].

These n_1 · … · n_M numbers are the cube. A contrastive loss needs the log-sum-exp of those that
hold a given row, for every row of every matrix,

    L_m[i] = log Σ_{i_1 … i_M with i_m = i} exp T[i_1 … i_M],

and all of them are read off the same cube. T is linear in each matrix, so s is multiplied into one
of them and is not seen again.

Forward. The matrices are put on two sides, so that the cube is one product T = A Bᵀ: a row of A is
the product of a combination of rows from the left, a row of B of one from the right. It is visited
in tiles, some rows of A with some of B. A tile adds to every L_m that it meets and is forgotten.

Backward. Let g_m[i] be the gradient of the loss with respect to L_m[i]. A logit is part of L_m[i_m]
for each m, and its share there is exp(T - L_m[i_m]). Its gradient is therefore

    W = Σ_m g_m[i_m] · exp(T - L_m[i_m]),

of the same shape as T, and with T = A Bᵀ

    ∂A = W B,    ∂B = Wᵀ A.

A row of A is x_i ⊙ w_o, a row of the side's last matrix times a product of rows of its others. So

    ∂x_i = Σ_o ∂A_oi ⊙ w_o    and    ∂w_o = Σ_i ∂A_oi ⊙ x_i

need no matrix product, and neither do the factors of w_o.

From one pass to the other the matrices and L_m are kept. Tiles are computed anew, but for the
first, as many as `KEPT_BYTES` hold, which makes small batches faster and large ones no larger.

This takes 2 Π n_m · d operations forward and 6 Π n_m · d backward, for any M, and memory for the
matrices, their gradients and a tile.

One exponential for all. With one logit c that is among the largest, the same exp(T - c) serves
every L_m = c + log Σ exp(T - c). Backward W = exp(T - c) · Σ_m g_m[i_m] exp(c - L_m[i_m]). What
overflows is seen in the sums. What underflows is less than rounding, unless some L_m lies far below
c. In either case both passes are done with an exponential for each log-sum-exp, where nothing can
be lost, since T ≤ L_m.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, reduce
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from clinical_symile.objectives.kernels._tiles import Tile, TileBuffer, TileSide

# For exponentials of the first tiles, which the way back need not compute again.
KEPT_BYTES = 56 * 2**20

MATMUL_PRECISIONS = ("highest", "high", "medium")


def product_logsumexp(
    matrices: Sequence[Float[Tensor, "_ dim"]],
    scale: float | Float[Tensor, ""],
    *,
    matmul: str = "highest",
) -> tuple[Float[Tensor, " _"], ...]:
    """For each row of each matrix, the log-sum-exp of the logits of all combinations with that row.

    Minus infinity where there is no combination, since another matrix has no row.

    Args:
        matrices: at least two.
        scale: the multiplier s of the logits.
        matmul: how float32 is multiplied, as `torch.set_float32_matmul_precision` names it:
            "highest" in float32, "high" in TensorFloat32 and "medium" in bfloat16 where a device
            has them.

    Raises:
        ValueError: fewer than two matrices, or an unknown precision.
        NotImplementedError: on the way back, if the gradient is to have a gradient itself.
    """
    check_matmul(matmul)
    if len(matrices) < 2:
        raise ValueError(f"a cube of {len(matrices)} matrices; expected at least 2.")
    return order_by_size(matrices, scale, partial(_CubeLogSumExp.apply, matmul))


def order_by_size(
    matrices: Sequence[Float[Tensor, "_ dim"]],
    scale: float | Float[Tensor, ""],
    logsumexps: Callable[..., tuple[Tensor, ...]],
) -> tuple[Float[Tensor, " _"], ...]:
    """What is found with the fewest rows first, and s in these, in the order of the matrices.

    The first rows vary slowest, and a product of few is soon used up.
    """
    order = sorted(range(len(matrices)), key=lambda m: len(matrices[m]))
    fewest, *others = (matrices[m] for m in order)
    scale = torch.as_tensor(scale, dtype=fewest.dtype, device=fewest.device)
    found = logsumexps(scale * fewest, *others)
    return tuple(found[order.index(m)] for m in range(len(matrices)))


def check_matmul(matmul: str) -> None:
    """Refuse a precision that PyTorch has no word for.

    Raises:
        ValueError: it is unknown.
    """
    if matmul not in MATMUL_PRECISIONS:
        raise ValueError(
            f"unknown matmul precision '{matmul}'; expected one of {', '.join(MATMUL_PRECISIONS)}."
        )


class _CubeLogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matmul: str, *matrices: Tensor) -> tuple[Tensor, ...]:
        with _products_as(matmul, matrices[0].device):
            logsumexps, shared = _logsumexps(matrices)
        kept = (shared.reference, shared.kept) if shared else ()
        ctx.save_for_backward(*matrices, *logsumexps, *kept)
        ctx.tile, ctx.matmul = shared.tile if shared else None, matmul
        return tuple(values.to(matrices[0].dtype) for values in logsumexps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        saved, count = ctx.saved_tensors, len(gradients)
        matrices, logsumexps, kept = saved[:count], saved[count : 2 * count], saved[2 * count :]
        with _products_as(ctx.matmul, matrices[0].device):
            if kept:
                found = _gradients(
                    matrices, logsumexps, gradients, _Shared(kept[0], kept[1], ctx.tile)
                )
            else:
                found = gradients_each(matrices, logsumexps, gradients)
        return None, *found


def refuse_second_derivative() -> None:
    """Raise where a gradient is computed that is to have one itself.

    Raises:
        NotImplementedError: it is.
    """
    if torch.is_grad_enabled():
        raise NotImplementedError(
            "the gradient of a cube's log-sum-exps has no gradient itself, since no tile is kept; "
            "expected create_graph=False. Compute the logits of all combinations with torch.einsum "
            "where a second derivative is needed."
        )


@contextmanager
def _products_as(matmul: str, device: torch.device) -> Iterator[None]:
    """Multiply as `matmul` says, whatever holds around this, and without autocast."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(matmul)
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


class _Shared(NamedTuple):
    """What both passes have of the exponential that serves all log-sum-exps.

    Attributes:
        reference: c.
        kept: exp(T - c) of the first tiles, one after the other.
        tile: how many rows of each side a tile has, whatever memory is free on the way back.
    """

    reference: Float[Tensor, ""]
    kept: Float[Tensor, " _"]
    tile: tuple[int, int]


class _Part(NamedTuple):
    """A tile of the cube.

    Attributes:
        rows: which rows of the left side it has.
        columns: which of the right side.
        a: those of the left, each a product.
        b: those of the right.
        start: how many logits came before.
    """

    rows: Tile
    columns: Tile
    a: Float[Tensor, "row dim"]
    b: Float[Tensor, "column dim"]
    start: int

    def place(self, kept: Float[Tensor, " _"]) -> Float[Tensor, "row column"] | None:
        """Where it is kept; None where it is not."""
        shape = len(self.a), len(self.b)
        end = self.start + math.prod(shape)
        return kept[self.start : end].view(shape) if end <= len(kept) else None


def _sides(matrices: Sequence[Tensor]) -> tuple[TileSide, TileSide]:
    half = (len(matrices) + 1) // 2
    left, right = slice(half), slice(half, len(matrices))
    return TileSide(matrices[left], left), TileSide(matrices[right], right)


def _parts(left: TileSide, right: TileSide, tile: tuple[int, int]) -> Iterator[_Part]:
    """All tiles, always in the same order."""
    start, (rows, columns) = 0, tile
    for some in left.tiles(rows):
        a = left.product(some)
        for others in right.tiles(columns):
            b = right.product(others)
            yield _Part(some, others, a, b, start)
            start += len(a) * len(b)


def _tile_rows(left: TileSide, right: TileSide) -> tuple[int, int]:
    """How many rows of each side make a tile.

    As many of the right as of the left, or all if that is fewer. Few are slow to multiply; many are
    much memory where they are long.
    """
    some = left.matrices[0]
    numbers = _numbers_in_a_tile(some.device)
    columns = max(min(right.rows, math.isqrt(numbers)), 1)
    return max(min(numbers // columns, 16 * numbers // max(some.shape[1], 1)), 1), columns


def _numbers_in_a_tile(device: torch.device) -> int:
    """How many logits a tile has at most.

    On a CPU those of half a megabyte, which stay in the cache. On a GPU enough to keep it busy, and
    less only where memory is short, since the order of additions depends on it.
    """
    if device.type != "cuda":
        return 2**17
    free, _ = torch.cuda.mem_get_info(device)
    return max(min(2**22, free // 512), 2**16)


def _logsumexps(matrices: Sequence[Tensor]) -> tuple[list[Float[Tensor, " _"]], _Shared | None]:
    """L_m in float64, and what the way back can use; None if it needs an exponential for each."""
    left, right = _sides(matrices)
    room, some = TileBuffer(matrices[0]), matrices[0]
    reference, tile = some.new_zeros(()), _tile_rows(left, right)
    kept = some.new_empty(min(KEPT_BYTES // some.element_size(), left.rows * right.rows))
    sums = [torch.zeros_like(z[:, 0], dtype=torch.float64) for z in matrices]
    for part in _parts(left, right, tile):
        out = part.place(kept)
        if out is None:
            out = room("logits", len(part.a), len(part.b))
        logits = torch.mm(part.a, part.b.T, out=out)
        if part.start == 0:
            reference = logits.max()
        shares = logits.sub_(reference).exp_()
        left.add_sums(part.rows, shares.sum(dim=1), sums)
        right.add_sums(part.columns, shares.sum(dim=0), sums)
    found = [reference + total.log() for total in sums]
    if is_rescaling_exact(found, reference):
        return found, _Shared(reference, kept, tile)
    return logsumexps_each(matrices), None


def is_rescaling_exact(
    logsumexps: Sequence[Float[Tensor, " _"]], reference: Float[Tensor, ""]
) -> bool:
    """Whether exp(T - c) is exact for every L_m.

    What is lost is less than the smallest number, and that is the square of what it could matter
    beside: no L_m is further from c than the root of it.
    """
    depth = -math.log(torch.finfo(reference.dtype).tiny) / 2
    return bool(((torch.cat([*logsumexps]) - reference).abs() <= depth).all())


def logsumexps_each(matrices: Sequence[Tensor]) -> list[Float[Tensor, " _"]]:
    """L_m in float64, with exponentials for each."""
    left, right = _sides(matrices)
    found = [torch.full_like(z[:, 0], -math.inf, dtype=torch.float64) for z in matrices]
    for part in _parts(left, right, _tile_rows(left, right)):
        logits = part.a @ part.b.T
        left.merge(part.rows, logits.logsumexp(dim=1).double(), found)
        right.merge(part.columns, logits.logsumexp(dim=0).double(), found)
    return found


def _gradients(
    matrices: Sequence[Tensor],
    logsumexps: Sequence[Tensor],
    gradients: Sequence[Tensor],
    shared: _Shared,
) -> list[Tensor]:
    """The gradient of each matrix, given those of L_m."""
    left, right = _sides(matrices)
    return _summed(left, right, _weights(left, right, logsumexps, gradients, shared))


def gradients_each(
    matrices: Sequence[Tensor], logsumexps: Sequence[Tensor], gradients: Sequence[Tensor]
) -> list[Tensor]:
    """The gradient of each matrix, given those of L_m, with exponentials for each."""
    left, right = _sides(matrices)
    return _summed(left, right, _weights_each(left, right, logsumexps, gradients))


# A tile, and its W.
_Weighted = tuple[_Part, Float[Tensor, "row column"]]


def _summed(left: TileSide, right: TileSide, weights: Iterator[_Weighted]) -> list[Tensor]:
    found = [torch.zeros_like(z) for z in (*left.matrices, *right.matrices)]
    for part, w in weights:
        left.add_gradients(part.rows, w, part.b, found)
        right.add_gradients(part.columns, w.T, part.a, found)
    return found


def _weights(
    left: TileSide,
    right: TileSide,
    logsumexps: Sequence[Tensor],
    gradients: Sequence[Tensor],
    shared: _Shared,
) -> Iterator[_Weighted]:
    """W of each tile, from exp(T - c) that all log-sum-exps share."""
    room, (reference, kept, tile) = TileBuffer(left.matrices[0]), shared
    factors = [  # g_m · exp(c - L_m)
        (g * (reference - lse).exp()).to(g.dtype)
        for g, lse in zip(gradients, logsumexps, strict=True)
    ]
    for part in _parts(left, right, tile):
        of_row = reduce(torch.add, left.each(part.rows, factors))
        of_column = reduce(torch.add, right.each(part.columns, factors))
        shares, shape = part.place(kept), (len(part.a), len(part.b))
        if shares is None:
            logits = torch.mm(part.a, part.b.T, out=room("logits", *shape))
            shares = logits.sub_(reference).exp_()
        w = torch.add(of_row[:, None], of_column, out=room("weights", *shape))
        yield part, w.mul_(shares)


def _weights_each(
    left: TileSide, right: TileSide, logsumexps: Sequence[Tensor], gradients: Sequence[Tensor]
) -> Iterator[_Weighted]:
    """W of each tile, with an exponential for each log-sum-exp."""
    for part in _parts(left, right, _tile_rows(left, right)):
        logits = part.a @ part.b.T
        w = torch.zeros_like(logits)
        for side, tile in ((left, part.rows), (right, part.columns)):
            for g, lse in zip(side.each(tile, gradients), side.each(tile, logsumexps), strict=True):
                if side is left:
                    g, lse = g[:, None], lse[:, None]
                w += g * (logits - lse).exp()
        yield part, w
