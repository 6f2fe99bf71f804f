"""The losses written densely, with every logit in memory at once: the oracle of the tiled ones."""

from functools import reduce
from itertools import combinations
from math import inf
from string import ascii_lowercase

import torch
from torch import Tensor
from torch.nn import functional


def dense_symile_loss(z: Tensor, scale: Tensor, available: Tensor) -> Tensor:
    """One logit for each of the n^M combinations serves all anchors; those not allowed are -inf."""
    present_z = torch.where(available[:, :, None], z, torch.zeros_like(z))
    complete = available.all(dim=1).nonzero().squeeze(1)
    axes = ascii_lowercase[: z.shape[1]]
    products = torch.einsum(
        ",".join(f"{axis}z" for axis in axes) + f"->{axes}", *present_z.unbind(dim=1)
    )
    allowed = reduce(torch.logical_and, torch.meshgrid(*available.T, indexing="ij"))
    logits = (scale * products).masked_fill(~allowed, -inf)
    true = logits[(complete,) * z.shape[1]]
    losses = [
        (logits.movedim(anchor, 0)[complete].flatten(1).logsumexp(dim=1) - true).mean()
        for anchor in range(z.shape[1])
    ]
    return torch.stack(losses).mean()


def dense_clip_loss(z: Tensor, scale: Tensor, available: Tensor) -> Tensor:
    """The mean over pairs of the cross-entropies of a matrix of logits and of its transpose."""
    pairs = []
    for pair in combinations(range(z.shape[1]), 2):
        both = available[:, pair].all(dim=1)
        if both.sum() < 2:
            continue
        first, second = z[both][:, pair].unbind(dim=1)
        logits = scale * first @ second.T
        right = torch.arange(len(logits))
        forth, back = (functional.cross_entropy(each, right) for each in (logits, logits.T))
        pairs.append((forth + back) / 2)
    return torch.stack(pairs).mean()
