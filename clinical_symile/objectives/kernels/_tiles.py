"""Tiles of the product T = A Bᵀ, where rows of A and B are products of rows of other matrices."""

import math
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

# Rows of one matrix; and rows of each matrix of a side.
RowIndex = slice | Tensor
SideTile = tuple[RowIndex, ...]


class TileBuffer:
    """Memory that successive tiles reuse, so that it is allocated once."""

    def __init__(self, like: Tensor):
        self._like = like
        self._buffers: dict[str, Tensor] = {}

    def __call__(self, name: str, rows: int, columns: int) -> Float[Tensor, "rows columns"]:
        """Return uninitialised memory; it overwrites what had the same name before."""
        buffer, needed = self._buffers.get(name), rows * columns
        if buffer is None or len(buffer) < needed:
            buffer = self._buffers[name] = self._like.new_empty(needed)
        return buffer[:needed].view(rows, columns)


class TileSide:
    """Some of the matrices, and the matrix of the products of their rows.

    A tile of a side gives rows for each of its matrices. These are a slice of the last one, whose
    rows are combined with each combination of rows of the others.

    Args:
        matrices: the matrices; the last one's rows vary fastest.
        own: the positions of these matrices among all.
    """

    def __init__(self, matrices: Sequence[Float[Tensor, "_ dim"]], own: slice):
        self.matrices = tuple(matrices)
        self.own = own
        self._buffer = TileBuffer(matrices[0])

    @property
    def rows(self) -> int:
        """The number of combinations."""
        return math.prod(len(z) for z in self.matrices)

    def tiles(self, rows: int) -> Iterator[SideTile]:
        """Yield all rows in order, at most `rows` at a time."""
        *outer, inner = (len(z) for z in self.matrices)
        combinations, inner_step = math.prod(outer) if inner else 0, _step(inner, rows)
        outer_step = _step(combinations, rows // inner_step)
        for first in range(0, combinations, outer_step):
            places: list[RowIndex] = [slice(first, min(first + outer_step, combinations))]
            if len(outer) != 1:
                flat = torch.arange(combinations, device=self.matrices[0].device)[places[0]]
                places = [*torch.unravel_index(flat, outer)] if outer else []
            for start in range(0, inner, inner_step):
                yield (*places, slice(start, min(start + inner_step, inner)))

    def product(self, tile: SideTile) -> Float[Tensor, "row dim"]:
        """Return the products of a tile; the next call overwrites them."""
        *outer, inner = self._rows_of(tile)
        if not outer:
            return inner
        factors = _product(outer)
        found = self._buffer("product", len(factors) * len(inner), inner.shape[1])
        torch.mul(factors[:, None], inner, out=found.view(len(factors), *inner.shape))
        return found

    def add_gradients(
        self, tile: SideTile, left: Tensor, right: Tensor, into: Sequence[Tensor]
    ) -> None:
        """Add a tile's part to the gradient of each matrix.

        Args:
            tile: rows of each matrix.
            left: with `right` the gradient of the tile's products, as `left @ right`.
            right: see `left`.
            into: the gradients of all matrices.
        """
        *outer, inner = self._rows_of(tile)
        *targets, inner_target = into[self.own]
        of_inner = inner_target[tile[-1]]
        if not outer:
            of_inner.addmm_(left, right)
            return
        of_product = torch.mm(left, right, out=self._buffer("gradient", len(left), right.shape[1]))
        factors = _product(outer)
        of_outer = torch.empty_like(factors)
        for number, rows in enumerate(of_product.unflatten(0, (-1, len(inner)))):
            of_inner.addcmul_(rows, factors[number])
            torch.sum(rows.mul_(inner), dim=0, out=of_outer[number])
        for m, (target, place) in enumerate(zip(targets, tile[:-1], strict=True)):
            rest = outer[:m] + outer[m + 1 :]
            _add(target, place, of_outer * _product(rest) if rest else of_outer)

    def add_sums(self, tile: SideTile, sums: Float[Tensor, " row"], into: Sequence[Tensor]) -> None:
        """Add sums over a tile's rows to those of the rows of each matrix."""
        *targets, inner_target = into[self.own]
        by_outer = sums.unflatten(0, (-1, len(inner_target[tile[-1]])))
        _add(inner_target, tile[-1], by_outer.sum(dim=0))
        for target, place in zip(targets, tile[:-1], strict=True):
            _add(target, place, by_outer.sum(dim=1))

    def merge(
        self, tile: SideTile, logsumexps: Float[Tensor, " row"], into: Sequence[Tensor]
    ) -> None:
        """Merge log-sum-exps of a tile's rows into those of the rows of each matrix."""
        *targets, inner_target = into[self.own]
        by_outer = logsumexps.unflatten(0, (-1, len(inner_target[tile[-1]])))
        _merge(inner_target, tile[-1], by_outer.logsumexp(dim=0))
        for target, place in zip(targets, tile[:-1], strict=True):
            _merge(target, place, by_outer.logsumexp(dim=1))

    def entries(self, tile: SideTile, vectors: Sequence[Tensor]) -> list[Float[Tensor, " row"]]:
        """Return, from a vector for each matrix, the entries of the rows of a tile."""
        *outer, inner = (v[p] for v, p in zip(vectors[self.own], tile, strict=True))
        grid = torch.broadcast_tensors(*(v[:, None] for v in outer), inner)
        return [v.flatten() for v in grid]

    def _rows_of(self, tile: SideTile) -> list[Float[Tensor, "_ dim"]]:
        """Return the rows of each matrix that a tile combines."""
        return [z[place] for z, place in zip(self.matrices, tile, strict=True)]


def _step(count: int, most: int) -> int:
    """Return the size of about equal parts of `count` that have at most `most` each."""
    parts = -(-count // max(most, 1))
    return -(-count // max(parts, 1)) or 1


def _product(factors: Sequence[Tensor]) -> Tensor:
    return reduce(torch.mul, factors)


def _add(into: Float[Tensor, "_ ..."], place: RowIndex, rows: Float[Tensor, "_ ..."]) -> None:
    """Add rows at their positions, some of which may be equal."""
    if isinstance(place, slice):
        into[place] += rows
    else:
        into.index_add_(0, place, rows)


def _merge(into: Float[Tensor, " _"], place: RowIndex, logsumexps: Float[Tensor, " _"]) -> None:
    """Merge log-sum-exps at their positions, some of which may be equal."""
    if isinstance(place, slice):
        into[place] = into[place].logaddexp(logsumexps)
        return
    peak = into.scatter_reduce(0, place, logsumexps, "amax")
    peak.clamp_(min=torch.finfo(peak.dtype).min)  # -inf - -inf is NaN
    sums = (into - peak).exp().index_add(0, place, (logsumexps - peak[place]).exp())
    into.copy_(peak + sums.log())


class Tile(NamedTuple):
    """A tile of T.

    Attributes:
        rows: its rows on the left side.
        columns: its rows on the right side.
        a: the products of the left side.
        b: the products of the right side.
        start: the number of logits in earlier tiles.
    """

    rows: SideTile
    columns: SideTile
    a: Float[Tensor, "row dim"]
    b: Float[Tensor, "column dim"]
    start: int

    def view_in(self, kept: Float[Tensor, " _"]) -> Float[Tensor, "row column"] | None:
        """Return the tile's part of `kept`; None if it is not kept."""
        shape = len(self.a), len(self.b)
        end = self.start + math.prod(shape)
        return kept[self.start : end].view(shape) if end <= len(kept) else None


def split_sides(matrices: Sequence[Tensor]) -> tuple[TileSide, TileSide]:
    """Divide the matrices into a left and a right side."""
    half = (len(matrices) + 1) // 2
    left, right = slice(half), slice(half, len(matrices))
    return TileSide(matrices[left], left), TileSide(matrices[right], right)


def iterate_tiles(left: TileSide, right: TileSide, size: tuple[int, int]) -> Iterator[Tile]:
    """Yield all tiles, always in the same order."""
    start, (rows, columns) = 0, size
    for left_tile in left.tiles(rows):
        a = left.product(left_tile)
        for right_tile in right.tiles(columns):
            b = right.product(right_tile)
            yield Tile(left_tile, right_tile, a, b, start)
            start += len(a) * len(b)


def tile_size(left: TileSide, right: TileSide) -> tuple[int, int]:
    """Return how many rows of each side make a tile.

    A tile has as many rows of the right side as of the left, or all if there are fewer. Small tiles
    are slow to multiply; large ones take much memory if rows are long.
    """
    some = left.matrices[0]
    logits = _tile_logits(some.device)
    columns = max(min(right.rows, math.isqrt(logits)), 1)
    return max(min(logits // columns, 16 * logits // max(some.shape[1], 1)), 1), columns


def _tile_logits(device: torch.device) -> int:
    """Return the largest number of logits of a tile.

    On a CPU half a megabyte of logits stays in the cache. On a GPU a tile is large enough to keep
    it busy, and smaller only if memory is short, since the order of additions depends on the size.
    """
    if device.type != "cuda":
        return 2**17
    free, _ = torch.cuda.mem_get_info(device)
    return max(min(2**22, free // 512), 2**16)


# A tile, and its W.
WeightedTile = tuple[Tile, Float[Tensor, "row column"]]


def sum_gradients(left: TileSide, right: TileSide, weights: Iterator[WeightedTile]) -> list[Tensor]:
    """Compute the gradient of each matrix from the W of each tile."""
    found = [torch.zeros_like(z) for z in (*left.matrices, *right.matrices)]
    for tile, w in weights:
        left.add_gradients(tile.rows, w, tile.b, found)
        right.add_gradients(tile.columns, w.T, tile.a, found)
    return found
