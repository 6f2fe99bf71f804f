"""Log-sum-exps and gradients with an exponential of their own for each log-sum-exp.

Kernels use these where one exponential for all log-sum-exps would underflow. Symbols are those of
`tiled`.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from clinical_symile.objectives.kernels._tiles import (
    TileSide,
    WeightedTile,
    iterate_tiles,
    split_sides,
    sum_gradients,
    tile_size,
)


def separate_logsumexps(matrices: Sequence[Tensor]) -> list[Float[Tensor, " _"]]:
    """Compute L_m in float64."""
    left, right = split_sides(matrices)
    found = [torch.full_like(z[:, 0], -math.inf, dtype=torch.float64) for z in matrices]
    for tile in iterate_tiles(left, right, tile_size(left, right)):
        logits = tile.a @ tile.b.T
        left.merge(tile.rows, logits.logsumexp(dim=1).double(), found)
        right.merge(tile.columns, logits.logsumexp(dim=0).double(), found)
    return found


def separate_gradients(
    matrices: Sequence[Tensor], logsumexps: Sequence[Tensor], gradients: Sequence[Tensor]
) -> list[Tensor]:
    """Compute the gradient of each matrix from those of L_m."""
    left, right = split_sides(matrices)
    return sum_gradients(left, right, _weights(left, right, logsumexps, gradients))


def _weights(
    left: TileSide, right: TileSide, logsumexps: Sequence[Tensor], gradients: Sequence[Tensor]
) -> Iterator[WeightedTile]:
    """Yield W of each tile."""
    for tile in iterate_tiles(left, right, tile_size(left, right)):
        logits = tile.a @ tile.b.T
        w = torch.zeros_like(logits)
        for side, rows in ((left, tile.rows), (right, tile.columns)):
            pairs = zip(side.entries(rows, gradients), side.entries(rows, logsumexps), strict=True)
            for g, lse in pairs:
                if side is left:
                    g, lse = g[:, None], lse[:, None]
                w += g * (logits - lse).exp()
        yield tile, w
