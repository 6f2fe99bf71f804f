"""Log-sum-exps over all combinations of the rows of several matrices, which are never kept.

For M matrices z_1 … z_M of n_m rows and the same number of columns, a combination of one row from
each has the logit

    T[i_1 … i_M] = s · Σ_d z_1[i_1, d] · … · z_M[i_M, d].

These n_1 · … · n_M numbers are the cube. A contrastive loss needs the log-sum-exp of those that
hold a given row, for every row of every matrix,

    L_m[i] = log Σ_{i_1 … i_M with i_m = i} exp T[i_1 … i_M],

and all of them are read off the same cube.

Forward. The matrices are put on two sides, so that the cube is one product T = s · A Bᵀ: a row of A
is the product of a combination of rows from the left, a row of B of one from the right. It is
visited in tiles, some rows of A with some of B. A tile adds to every L_m that it meets and is
forgotten.

Backward. Let g_m[i] be the gradient of the loss with respect to L_m[i]. A logit is part of L_m[i_m]
for each m, and its share there is exp(T - L_m[i_m]). Its gradient is therefore

    W = Σ_m g_m[i_m] · exp(T - L_m[i_m]),

of the same shape as T, and with T = s · A Bᵀ

    ∂A = s · W B,    ∂B = s · Wᵀ A.

From one pass to the other the matrices and L_m are kept. Tiles are computed anew, but for the
first, as many as `KEPT_BYTES` hold, which makes small batches faster and large ones no larger. A
row of A is x_i ⊙ w_o, a row of the side's last matrix times a product of rows of its others. So

    ∂x_i = Σ_o ∂A_oi ⊙ w_o    and    ∂w_o = Σ_i ∂A_oi ⊙ x_i

need no matrix product, and neither do the factors of w_o. And since T is linear in each matrix,
∂s = Σ W ⊙ T / s is Σ z_m ⊙ ∂z_m / s, for any m.

This takes 2 Π n_m · d operations forward and 6 Π n_m · d backward, for any M, and memory for the
matrices, their gradients and a tile.

One exponential for all. With the tile's largest logit c, one exp(T - c) serves every L_m. Backward
W = exp(T - c) · Σ_m g_m[i_m] exp(c - L_m[i_m]). What underflows is less than rounding, unless some
L_m lies far below the cube's largest logit. Then both passes are done
with an exponential for each log-sum-exp, where nothing can be lost, since T ≤ L_m.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

# Which rows of a matrix are meant; and for each matrix of a side.
_Place = slice | Tensor
_Tile = tuple[_Place, ...]

# For exponentials of the first tiles, which the way back need not compute again.
KEPT_BYTES = 40 * 2**20

MATMUL_PRECISIONS = ("highest", "high", "medium")


def cube_logsumexp(
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
    scale = torch.as_tensor(scale, dtype=matrices[0].dtype, device=matrices[0].device)
    # The fewest rows come first: those vary slowest, and a product of few is soon used up.
    order = sorted(range(len(matrices)), key=lambda m: len(matrices[m]))
    found = _CubeLogSumExp.apply(scale, matmul, *(matrices[m] for m in order))
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
    def forward(ctx: Any, scale: Tensor, matmul: str, *matrices: Tensor) -> tuple[Tensor, ...]:
        with _products_as(matmul, scale.device):
            logsumexps, shared = _logsumexps(matrices, scale)
        kept = shared.kept if shared else []
        ctx.save_for_backward(scale, *matrices, *logsumexps, *kept)
        ctx.peaks, ctx.matmul = shared.peaks if shared else None, matmul
        return tuple(values.to(scale.dtype) for values in logsumexps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise NotImplementedError(
                "the gradient of a cube's log-sum-exps has no gradient itself, since no tile is "
                "kept; expected create_graph=False. Compute the logits of all combinations with "
                "torch.einsum where a second derivative is needed."
            )
        scale, *saved = ctx.saved_tensors
        count = len(gradients)
        matrices, logsumexps, kept = saved[:count], saved[count : 2 * count], saved[2 * count :]
        shared = None if ctx.peaks is None else _Shared(ctx.peaks, list(kept))
        with _products_as(ctx.matmul, scale.device):
            of_scale, *of_matrices = _gradients(matrices, scale, logsumexps, gradients, shared)
        return of_scale, None, *of_matrices


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


@dataclass(frozen=True)
class _Side:
    """Some of the matrices, and with them the matrix of the products of their rows.

    A tile of a side says for each of its matrices which rows are meant: a slice of the last one,
    each of which is combined with each combination from the others.

    Attributes:
        matrices: the last one's rows vary fastest.
        own: where these matrices, and what belongs to them, stand among all.
    """

    matrices: tuple[Float[Tensor, "_ dim"], ...]
    own: slice

    def tiles(self, rows: int) -> Iterator[_Tile]:
        """All rows in order, at most as many at a time."""
        *outer, inner = (len(z) for z in self.matrices)
        combinations, inner_step = math.prod(outer) if inner else 0, max(min(rows, inner), 1)
        outer_step = max(rows // inner_step, 1)
        for first in range(0, combinations, outer_step):
            places: list[_Place] = [slice(first, min(first + outer_step, combinations))]
            if len(outer) != 1:
                flat = torch.arange(combinations, device=self.matrices[0].device)[places[0]]
                places = [*torch.unravel_index(flat, outer)] if outer else []
            for start in range(0, inner, inner_step):
                yield (*places, slice(start, min(start + inner_step, inner)))

    def product(self, tile: _Tile) -> Float[Tensor, "row dim"]:
        """The tile's rows, each a product."""
        *outer, inner = self._taken(tile)
        return (_product(outer)[:, None] * inner).flatten(0, 1) if outer else inner

    def add_gradients(
        self, tile: _Tile, of_product: Float[Tensor, "row dim"], into: Sequence[Tensor]
    ) -> None:
        """Add to the gradient of each matrix what that of the tile's products makes of it.

        `of_product` is used up.
        """
        *outer, inner = self._taken(tile)
        *targets, inner_target = into[self.own]
        if not outer:
            inner_target[tile[-1]] += of_product
            return
        by_outer = of_product.unflatten(0, (-1, len(inner)))
        of_inner = inner_target[tile[-1]]
        for rows, factor in zip(by_outer, _product(outer), strict=True):
            of_inner.addcmul_(rows, factor)
        of_outer = by_outer.mul_(inner).sum(dim=1)
        for m, (target, place) in enumerate(zip(targets, tile[:-1], strict=True)):
            rest = outer[:m] + outer[m + 1 :]
            _add(target, place, of_outer * _product(rest) if rest else of_outer)

    def merge(self, tile: _Tile, logsumexps: Float[Tensor, " row"], into: Sequence[Tensor]) -> None:
        """Merge log-sum-exps of the tile's rows into those of the rows of each matrix."""
        *targets, inner_target = into[self.own]
        by_outer = logsumexps.unflatten(0, (-1, len(inner_target[tile[-1]])))
        _merge(inner_target, tile[-1], by_outer.logsumexp(dim=0))
        for target, place in zip(targets, tile[:-1], strict=True):
            _merge(target, place, by_outer.logsumexp(dim=1))

    def each(self, tile: _Tile, vectors: Sequence[Tensor]) -> list[Float[Tensor, " row"]]:
        """From a vector for each matrix, the entries of the rows that make the tile's rows."""
        *outer, inner = (v[p] for v, p in zip(vectors[self.own], tile, strict=True))
        grid = torch.broadcast_tensors(*(v[:, None] for v in outer), inner)
        return [v.flatten() for v in grid]

    def _taken(self, tile: _Tile) -> list[Float[Tensor, "_ dim"]]:
        return [z[place] for z, place in zip(self.matrices, tile, strict=True)]


def _product(factors: Sequence[Tensor]) -> Tensor:
    return reduce(torch.mul, factors)


def _add(into: Float[Tensor, "_ dim"], place: _Place, rows: Float[Tensor, "_ dim"]) -> None:
    """Add rows at their places, of which some may be the same."""
    if isinstance(place, slice):
        into[place] += rows
    else:
        into.index_add_(0, place, rows)


def _merge(into: Float[Tensor, " _"], place: _Place, logsumexps: Float[Tensor, " _"]) -> None:
    """Merge log-sum-exps at their places, of which some may be the same."""
    if isinstance(place, slice):
        into[place] = into[place].logaddexp(logsumexps)
        return
    peak = into.scatter_reduce(0, place, logsumexps, "amax")
    peak.clamp_(min=torch.finfo(peak.dtype).min)  # minus infinity less itself is no number
    sums = (into - peak).exp().index_add(0, place, (logsumexps - peak[place]).exp())
    into.copy_(peak + sums.log())


def _sides(matrices: Sequence[Tensor]) -> tuple[_Side, _Side]:
    half = (len(matrices) + 1) // 2
    left, right = slice(half), slice(half, len(matrices))
    return _Side(tuple(matrices[left]), left), _Side(tuple(matrices[right]), right)


def _tile_rows(left: _Side, right: _Side) -> tuple[int, int]:
    """How many rows of each side make a tile."""
    some = left.matrices[0]
    numbers = _numbers_in_a_tile(some.device)
    of_right = min(math.prod(len(z) for z in right.matrices), math.isqrt(numbers))
    return max(numbers // max(of_right, some.shape[1], 1), 1), max(of_right, 1)


def _numbers_in_a_tile(device: torch.device) -> int:
    """How many numbers the largest matrix of a tile has.

    On a CPU those of a few megabytes, which stay in the cache. On a GPU enough to keep it busy, and
    less only where memory is short, since the order of additions depends on it.
    """
    if device.type != "cuda":
        return 2**19
    free, _ = torch.cuda.mem_get_info(device)
    return max(min(2**25, free // 64), 2**16)


class _Shared(NamedTuple):
    """What both passes share where one exponential serves all log-sum-exps.

    Attributes:
        peaks: each tile's largest logit c.
        kept: exp(T - c) of the first tiles.
    """

    peaks: list[Tensor]
    kept: list[Tensor]


def _logsumexps(
    matrices: Sequence[Tensor], scale: Tensor
) -> tuple[list[Float[Tensor, " _"]], _Shared | None]:
    """L_m in float64, and what the way back can use; None if it needs an exponential for each."""
    shared, room = _Shared([], []), KEPT_BYTES // scale.element_size()

    def with_one(logits: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal room
        peak = logits.max()
        shares = logits.sub_(peak).exp_()
        shared.peaks.append(peak)
        room -= shares.numel()
        if room >= 0:
            shared.kept.append(shares)
        return shares.sum(dim=1).double().log_() + peak, shares.sum(dim=0).double().log_() + peak

    def with_one_each(logits: Tensor) -> tuple[Tensor, Tensor]:
        return logits.logsumexp(dim=1).double(), logits.logsumexp(dim=0).double()

    found = _merged(matrices, scale, with_one)
    if not shared.peaks:
        return found, shared
    # What is lost is less than the smallest number, and that is the square of what it could matter
    # beside: every L_m is above the root of it.
    depth = -math.log(torch.finfo(scale.dtype).tiny) / 2
    if bool(torch.cat(found).min() >= torch.stack(shared.peaks).max() - depth):
        return found, shared
    shared.kept.clear()
    return _merged(matrices, scale, with_one_each), None


def _merged(
    matrices: Sequence[Tensor],
    scale: Tensor,
    logsumexps: Callable[[Tensor], tuple[Tensor, Tensor]],
) -> list[Float[Tensor, " _"]]:
    """L_m, from a function that gives the log-sum-exps of a tile's rows and of its columns."""
    left, right = _sides(matrices)
    found = [torch.full_like(z[:, 0], -math.inf, dtype=torch.float64) for z in matrices]
    left_rows, right_rows = _tile_rows(left, right)
    for a in left.tiles(left_rows):
        product = left.product(a)
        for b in right.tiles(right_rows):
            of_rows, of_columns = logsumexps(product @ (scale * right.product(b)).T)
            left.merge(a, of_rows, found)
            right.merge(b, of_columns, found)
    return found


def _gradients(
    matrices: Sequence[Tensor],
    scale: Tensor,
    logsumexps: Sequence[Tensor],
    gradients: Sequence[Tensor],
    shared: _Shared | None,
) -> list[Tensor]:
    """The gradients of the scale and of each matrix, given those of L_m."""
    left, right = _sides(matrices)
    found, number = [torch.zeros_like(z) for z in matrices], 0
    left_rows, right_rows = _tile_rows(left, right)
    for a in left.tiles(left_rows):
        product, of_product = left.product(a), None
        rows = left.each(a, gradients), left.each(a, logsumexps)
        for b in right.tiles(right_rows):
            other = right.product(b)
            columns = right.each(b, gradients), right.each(b, logsumexps)
            if shared is None:
                w = _weights(product @ (scale * other).T, rows, columns)
            else:
                peak = shared.peaks[number]
                if number < len(shared.kept):
                    shares = shared.kept[number]
                else:
                    shares = (product @ (scale * other).T).sub_(peak).exp_()
                w = _weights_with_one(shares, peak, rows, columns)
            of_product = w @ other if of_product is None else of_product.addmm_(w, other)
            right.add_gradients(b, w.T @ product, found)
            number += 1
        if of_product is not None:
            left.add_gradients(a, of_product, found)
    of_scale = (matrices[-1] * found[-1]).sum()
    return [of_scale, *(gradient.mul_(scale) for gradient in found)]


# g_m and L_m of each matrix of a side, for the rows of a tile.
_Vectors = tuple[list[Tensor], list[Tensor]]


def _weights(
    logits: Float[Tensor, "left right"], rows: _Vectors, columns: _Vectors
) -> Float[Tensor, "left right"]:
    """W of a tile, with an exponential for each log-sum-exp."""
    every = [(g[:, None], lse[:, None]) for g, lse in zip(*rows, strict=True)]
    every += zip(*columns, strict=True)
    return reduce(torch.add, [g * (logits - lse).exp() for g, lse in every]).to(logits.dtype)


def _weights_with_one(
    shares: Float[Tensor, "left right"], peak: Tensor, rows: _Vectors, columns: _Vectors
) -> Float[Tensor, "left right"]:
    """W of a tile, from exp(T - c) that all log-sum-exps share."""
    of_row, of_column = (
        reduce(torch.add, [g * (peak - lse).exp() for g, lse in zip(*vectors, strict=True)])
        for vectors in (rows, columns)
    )
    return (of_row[:, None].to(shares.dtype) + of_column.to(shares.dtype)).mul_(shares)
