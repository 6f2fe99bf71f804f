"""Log-sum-exps and sums of rows and columns of any matrix of scores, computed tile by tile.

A score compares each sample of a left side with each sample of a right side. The matrix of all
scores is never in memory. Forward, each tile is reduced at once. Backward, each tile is computed
again and its gradient follows from the log-sum-exps of its rows and columns. Memory grows linearly
with the number of samples, as in `tiled.product_logsumexp`, which is faster for inner products.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clinical_symile.objectives.kernels.base import refuse_second_derivative

# (left tensors, right tensors, parameters) -> scores of each left with each right row. The tensors
# of a side have a row for each of its samples.
TileScore = Callable[[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]], Tensor]

_CELLS = 2**17  # scores of a tile
_OWN_ROWS = 16  # rows of a block of which only the diagonal is kept


class Excluded(NamedTuple):
    """Codes of the rows of both sides: a cell whose codes are equal takes no part.

    Attributes:
        left: a code for each row of the left side.
        right: a code for each row of the right side.
    """

    left: Int[Tensor, " left"]
    right: Int[Tensor, " right"]


class ScoreReductions(NamedTuple):
    """The reductions of a matrix of scores; a row without any cell has -inf and 0.

    Reductions that were not asked for are NaN.

    Attributes:
        rows: log-sum-exp of each row.
        columns: log-sum-exp of each column.
        row_sums: sum of each row.
        column_sums: sum of each column.
    """

    rows: Float[Tensor, " left"]
    columns: Float[Tensor, " right"]
    row_sums: Float[Tensor, " left"]
    column_sums: Float[Tensor, " right"]


def reduce_scores(
    score: TileScore,
    left: Sequence[Tensor],
    right: Sequence[Tensor],
    parameters: Sequence[Tensor] = (),
    *,
    excluded: Excluded | None = None,
    only: str | None = None,
    tile_cells: int = _CELLS,
) -> ScoreReductions:
    """Reduce the scores of every left with every right row, with exact gradients.

    A second derivative raises an error.

    Args:
        score: computes a tile; it is called with slices of `left` and `right`, again in backward.
        left: tensors [left, ...] of any shapes; integers and booleans have no gradient.
        right: tensors [right, ...], likewise.
        parameters: tensors that every tile needs whole, such as a scale.
        excluded: cells to leave out, such as each sample with itself.
        only: the one reduction to compute, by its name; None for all four.
        tile_cells: scores of a tile; memory grows with it, the result does not depend on it.
    """
    kept = ScoreReductions._fields if only is None else (only,)
    spec = _Spec(score, len(left), len(right), excluded, frozenset(kept), tile_cells)
    return ScoreReductions(*_ReduceScores.apply(spec, *left, *right, *parameters))


def own_scores(
    score: TileScore,
    left: Sequence[Tensor],
    right: Sequence[Tensor],
    parameters: Sequence[Tensor] = (),
) -> Float[Tensor, " row"]:
    """Compute the score of each left row with the right row of the same number.

    Scores are computed in small square blocks, of which the diagonal is kept.

    Args:
        score: computes a tile.
        left: tensors with a row for each sample.
        right: tensors with as many rows.
        parameters: tensors that every tile needs whole.
    """
    parts = []
    for start in range(0, len(left[0]), _OWN_ROWS):
        rows = slice(start, start + _OWN_ROWS)
        parts.append(score([t[rows] for t in left], [t[rows] for t in right], parameters))
    return torch.cat([part.diagonal() for part in parts])


def inner_product_score(
    left: Sequence[Tensor], right: Sequence[Tensor], parameters: Sequence[Tensor]
) -> Float[Tensor, "left right"]:
    """Compute scale · ⟨x, y⟩ from one tensor [row, dim] of each side and the scale."""
    (scale,) = parameters
    return scale * (left[0] @ right[0].T)


def squared_distance_score(
    left: Sequence[Tensor], right: Sequence[Tensor], parameters: Sequence[Tensor]
) -> Float[Tensor, "left right"]:
    """Compute -factor · ‖x - y‖² from one tensor [row, dim] of each side and the factor."""
    (factor,) = parameters
    return -factor * squared_distances(left[0], right[0])


def squared_distances(
    left: Float[Tensor, "left dim"], right: Float[Tensor, "right dim"]
) -> Float[Tensor, "left right"]:
    """Compute ‖x - y‖² of every pair from inner products; rounding never makes it negative."""
    squares = left.square().sum(dim=1)[:, None] + right.square().sum(dim=1)
    return (squares - 2 * left @ right.T).clamp(min=0)


@dataclass(frozen=True)
class _Spec:
    score: TileScore
    n_left: int
    n_right: int
    excluded: Excluded | None
    kept: frozenset[str]
    tile_cells: int

    def divide(self, tensors: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Divide tensors into those of the left, of the right, and parameters."""
        end = self.n_left + self.n_right
        return list(tensors[: self.n_left]), list(tensors[self.n_left : end]), list(tensors[end:])

    def tiles(self, rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
        """Yield the rows and columns of each tile, always in the same order."""
        side = max(math.isqrt(self.tile_cells), 1)
        width = min(columns, side) or 1
        height = max(min(rows, self.tile_cells // width), 1)
        for top in range(0, rows, height):
            for start in range(0, columns, width):
                yield slice(top, top + height), slice(start, start + width)

    def mask(self, rows: slice, columns: slice) -> Tensor | None:
        """Return True for the cells of a tile to leave out; None for no cell."""
        if self.excluded is None:
            return None
        return self.excluded.left[rows, None] == self.excluded.right[columns]


class _ReduceScores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spec: _Spec, *tensors: Tensor) -> tuple[Tensor, ...]:
        left, right, parameters = spec.divide(tensors)
        like = next(tensor for tensor in (*left, *right) if tensor.is_floating_point())
        rows = like.new_full((len(left[0]),), -math.inf)
        columns = like.new_full((len(right[0]),), -math.inf)
        row_sums, column_sums = torch.zeros_like(rows), torch.zeros_like(columns)
        for of_rows, of_columns in spec.tiles(len(rows), len(columns)):
            scores = spec.score(
                [t[of_rows] for t in left], [t[of_columns] for t in right], parameters
            )
            mask = spec.mask(of_rows, of_columns)
            if spec.kept & {"row_sums", "column_sums"}:
                cells = scores if mask is None else scores.masked_fill(mask, 0)
                row_sums[of_rows] += cells.sum(dim=1)
                column_sums[of_columns] += cells.sum(dim=0)
            cells = scores if mask is None else scores.masked_fill(mask, -math.inf)
            if "rows" in spec.kept:
                rows[of_rows] = rows[of_rows].logaddexp(cells.logsumexp(dim=1))
            if "columns" in spec.kept:
                columns[of_columns] = columns[of_columns].logaddexp(cells.logsumexp(dim=0))
        found = {"rows": rows, "columns": columns, "row_sums": row_sums, "column_sums": column_sums}
        for name in found.keys() - spec.kept:
            found[name].fill_(math.nan)
        ctx.spec = spec
        ctx.set_materialize_grads(False)  # a reduction that nothing uses costs nothing backward
        ctx.save_for_backward(rows, columns, *tensors)
        return rows, columns, row_sums, column_sums

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        spec: _Spec = ctx.spec
        rows, columns, *tensors = ctx.saved_tensors
        left, right, parameters = spec.divide(tensors)
        needed = spec.divide([torch.tensor(flag) for flag in ctx.needs_input_grad[1:]])
        found = [
            torch.zeros_like(tensor) if flag else None
            for tensor, flag in zip(tensors, ctx.needs_input_grad[1:], strict=True)
        ]
        into = [slot for slot in found if slot is not None]
        for of_rows, of_columns in spec.tiles(len(rows), len(columns)):
            sides = (
                _leaves([t[of_rows] for t in left], needed[0]),
                _leaves([t[of_columns] for t in right], needed[1]),
                _leaves(parameters, needed[2]),
            )
            with torch.enable_grad():
                scores = spec.score(*sides)
            weights = _weights(scores.detach(), rows, columns, gradients, (of_rows, of_columns))
            mask = spec.mask(of_rows, of_columns)
            if mask is not None:
                weights.masked_fill_(mask, 0)
            leaves = [leaf for side in sides for leaf in side if leaf.requires_grad]
            parts = torch.autograd.grad(scores, leaves, weights, allow_unused=True)
            places = [of_rows] * _count(needed[0]) + [of_columns] * _count(needed[1])
            places += [slice(None)] * _count(needed[2])
            for slot, place, part in zip(into, places, parts, strict=True):
                if part is not None and slot.ndim:
                    slot[place] += part
                elif part is not None:
                    slot += part
        return None, *found


def _weights(
    scores: Tensor,
    rows: Tensor,
    columns: Tensor,
    gradients: Sequence[Tensor | None],
    place: tuple[slice, slice],
) -> Tensor:
    """Return the derivative of the loss by each score of a tile.

    Args:
        scores: the tile.
        rows: log-sum-exp of each row of the matrix.
        columns: log-sum-exp of each column.
        gradients: the derivatives by the four reductions; None where nothing uses one.
        place: the rows and columns of the tile.
    """
    of_rows, of_columns = place
    by_rows, by_columns, by_row_sums, by_column_sums = gradients
    weights = torch.zeros_like(scores)
    if by_rows is not None:
        weights += by_rows[of_rows, None] * _share(scores, rows[of_rows, None])
    if by_columns is not None:
        weights += by_columns[of_columns] * _share(scores, columns[of_columns])
    if by_row_sums is not None:
        weights += by_row_sums[of_rows, None]
    if by_column_sums is not None:
        weights += by_column_sums[of_columns]
    return weights


def _share(scores: Tensor, logsumexps: Tensor) -> Tensor:
    """Return exp(score - log-sum-exp), 0 where no cell takes part."""
    return (scores - logsumexps.masked_fill(logsumexps == -math.inf, math.inf)).exp()


def _leaves(tensors: Sequence[Tensor], needed: Sequence[Tensor]) -> list[Tensor]:
    """Detach tensors, and let those follow gradients that need one."""
    return [
        tensor.detach().requires_grad_() if flag else tensor.detach()
        for tensor, flag in zip(tensors, needed, strict=True)
    ]


def _count(needed: Sequence[Tensor]) -> int:
    return sum(bool(flag) for flag in needed)
