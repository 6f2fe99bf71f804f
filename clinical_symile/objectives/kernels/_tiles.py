"""Matrices whose rows are products, one for each combination of rows of others, in tiles."""

import math
from collections.abc import Iterator, Sequence
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

# Which rows of a matrix are meant; and for each matrix of a side.
Place = slice | Tensor
Tile = tuple[Place, ...]


class TileBuffer:
    """Memory that one tile after the other uses, so that none of it is asked for again."""

    def __init__(self, like: Tensor):
        self._like = like
        self._held: dict[str, Tensor] = {}

    def __call__(self, what: str, rows: int, columns: int) -> Float[Tensor, "rows columns"]:
        """Uninitialised, and what was there under the same name before is lost."""
        held, needed = self._held.get(what), rows * columns
        if held is None or len(held) < needed:
            held = self._held[what] = self._like.new_empty(needed)
        return held[:needed].view(rows, columns)


class TileSide:
    """Some of the matrices, and with them the matrix of the products of their rows.

    A tile of a side says for each of its matrices which rows are meant: a slice of the last one,
    each of which is combined with each combination from the others.

    Args:
        matrices: the last one's rows vary fastest.
        own: where these matrices, and what belongs to them, stand among all.
    """

    def __init__(self, matrices: Sequence[Float[Tensor, "_ dim"]], own: slice):
        self.matrices = tuple(matrices)
        self.own = own
        self._room = TileBuffer(matrices[0])

    @property
    def rows(self) -> int:
        """How many combinations there are."""
        return math.prod(len(z) for z in self.matrices)

    def tiles(self, rows: int) -> Iterator[Tile]:
        """All rows in order, at most as many at a time."""
        *outer, inner = (len(z) for z in self.matrices)
        combinations, inner_step = math.prod(outer) if inner else 0, _step(inner, rows)
        outer_step = _step(combinations, rows // inner_step)
        for first in range(0, combinations, outer_step):
            places: list[Place] = [slice(first, min(first + outer_step, combinations))]
            if len(outer) != 1:
                flat = torch.arange(combinations, device=self.matrices[0].device)[places[0]]
                places = [*torch.unravel_index(flat, outer)] if outer else []
            for start in range(0, inner, inner_step):
                yield (*places, slice(start, min(start + inner_step, inner)))

    def product(self, tile: Tile) -> Float[Tensor, "row dim"]:
        """The tile's rows, each a product; until another tile's are asked for."""
        *outer, inner = self._taken(tile)
        if not outer:
            return inner
        factors = _product(outer)
        found = self._room("product", len(factors) * len(inner), inner.shape[1])
        torch.mul(factors[:, None], inner, out=found.view(len(factors), *inner.shape))
        return found

    def add_gradients(
        self, tile: Tile, left: Tensor, right: Tensor, into: Sequence[Tensor]
    ) -> None:
        """Add to the gradient of each matrix what that of the tile's products makes of it.

        That of the products is `left @ right`.
        """
        *outer, inner = self._taken(tile)
        *targets, inner_target = into[self.own]
        of_inner = inner_target[tile[-1]]
        if not outer:
            of_inner.addmm_(left, right)
            return
        of_product = torch.mm(left, right, out=self._room("gradient", len(left), right.shape[1]))
        factors = _product(outer)
        of_outer = torch.empty_like(factors)
        for number, rows in enumerate(of_product.unflatten(0, (-1, len(inner)))):
            of_inner.addcmul_(rows, factors[number])
            torch.sum(rows.mul_(inner), dim=0, out=of_outer[number])
        for m, (target, place) in enumerate(zip(targets, tile[:-1], strict=True)):
            rest = outer[:m] + outer[m + 1 :]
            _add(target, place, of_outer * _product(rest) if rest else of_outer)

    def add_sums(self, tile: Tile, sums: Float[Tensor, " row"], into: Sequence[Tensor]) -> None:
        """Add sums of the tile's rows to those of the rows of each matrix."""
        *targets, inner_target = into[self.own]
        by_outer = sums.unflatten(0, (-1, len(inner_target[tile[-1]])))
        _add(inner_target, tile[-1], by_outer.sum(dim=0))
        for target, place in zip(targets, tile[:-1], strict=True):
            _add(target, place, by_outer.sum(dim=1))

    def merge(self, tile: Tile, logsumexps: Float[Tensor, " row"], into: Sequence[Tensor]) -> None:
        """Merge log-sum-exps of the tile's rows into those of the rows of each matrix."""
        *targets, inner_target = into[self.own]
        by_outer = logsumexps.unflatten(0, (-1, len(inner_target[tile[-1]])))
        _merge(inner_target, tile[-1], by_outer.logsumexp(dim=0))
        for target, place in zip(targets, tile[:-1], strict=True):
            _merge(target, place, by_outer.logsumexp(dim=1))

    def each(self, tile: Tile, vectors: Sequence[Tensor]) -> list[Float[Tensor, " row"]]:
        """From a vector for each matrix, the entries of the rows that make the tile's rows."""
        *outer, inner = (v[p] for v, p in zip(vectors[self.own], tile, strict=True))
        grid = torch.broadcast_tensors(*(v[:, None] for v in outer), inner)
        return [v.flatten() for v in grid]

    def _taken(self, tile: Tile) -> list[Float[Tensor, "_ dim"]]:
        return [z[place] for z, place in zip(self.matrices, tile, strict=True)]


def _step(count: int, most: int) -> int:
    """The size of parts that are about equal and have at most so many each."""
    parts = -(-count // max(most, 1))
    return -(-count // max(parts, 1)) or 1


def _product(factors: Sequence[Tensor]) -> Tensor:
    return reduce(torch.mul, factors)


def _add(into: Float[Tensor, "_ ..."], place: Place, rows: Float[Tensor, "_ ..."]) -> None:
    """Add rows at their places, of which some may be the same."""
    if isinstance(place, slice):
        into[place] += rows
    else:
        into.index_add_(0, place, rows)


def _merge(into: Float[Tensor, " _"], place: Place, logsumexps: Float[Tensor, " _"]) -> None:
    """Merge log-sum-exps at their places, of which some may be the same."""
    if isinstance(place, slice):
        into[place] = into[place].logaddexp(logsumexps)
        return
    peak = into.scatter_reduce(0, place, logsumexps, "amax")
    peak.clamp_(min=torch.finfo(peak.dtype).min)  # minus infinity less itself is no number
    sums = (into - peak).exp().index_add(0, place, (logsumexps - peak[place]).exp())
    into.copy_(peak + sums.log())
