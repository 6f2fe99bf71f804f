"""What training processes tell each other, with gradients.

Each process holds a share of a batch, which may be of any size or empty. All of them compute the
loss of the whole batch. As if a gradient were of the sum of all processes' losses, which is their
number times the loss, it reaches every share from every process. Data-parallel training averages
the gradients of parameters over processes, and so arrives at those of one process with the batch.

A `group` of None is one process that has everything.
"""

from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings

Group = dist.ProcessGroup | None


def share_sizes(share: Shaped[Tensor, "sample ..."], group: Group) -> list[int]:
    """How many samples each process holds."""
    if group is None:
        return [len(share)]
    sizes = torch.zeros(dist.get_world_size(group), dtype=torch.long, device=share.device)
    sizes[dist.get_rank(group)] = len(share)
    dist.all_reduce(sizes, group=group)
    return sizes.tolist()


def local_slice(sizes: list[int], group: Group) -> slice:
    """Where this process's share stands in the whole."""
    rank = 0 if group is None else dist.get_rank(group)
    start = sum(sizes[:rank])
    return slice(start, start + sizes[rank])


def all_gather_with_grad(
    share: Shaped[Tensor, "sample ..."], sizes: list[int], group: Group
) -> Shaped[Tensor, "whole ..."]:
    """The shares of all processes, one after the other."""
    if group is None:
        return share
    if share.dtype == torch.bool:
        return _Whole.apply(share.int(), sizes, group).bool()
    return _Whole.apply(share, sizes, group)


def all_reduce_sum(values: Shaped[Tensor, "..."], group: Group) -> Shaped[Tensor, "..."]:
    """The sum over processes."""
    return values if group is None else _Total.apply(values, group)


def all_reduce_logsumexp(values: Float[Tensor, "..."], group: Group) -> Float[Tensor, "..."]:
    """The log of the sum over processes of exponentials; one of them at least must be finite."""
    if group is None:
        return values
    peak = values.detach().clone()
    dist.all_reduce(peak, dist.ReduceOp.MAX, group=group)
    return peak + all_reduce_sum((values - peak).exp(), group).log()


def gather_embeddings(share: Embeddings, group: Group) -> Embeddings:
    """The whole batch's embeddings, of which each process holds a share."""
    if group is None:
        return share
    sizes = share_sizes(share.z, group)
    z, present, rows = (
        all_gather_with_grad(v, sizes, group) for v in (share.z, share.present, share.rows)
    )
    return replace(share, z=z, present=present, rows=rows)


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        return _summed(values, group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _summed(gradients[0], ctx.group), None


class _Whole(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, share: Tensor, sizes: list[int], group: dist.ProcessGroup) -> Tensor:
        ctx.place, ctx.group = local_slice(sizes, group), group
        # Collectives want the same shape of every process.
        padded = share.new_zeros((max(sizes), *share.shape[1:]))
        padded[: len(share)] = share
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded, group=group)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _summed(gradients[0], ctx.group)[ctx.place], None, None


def _summed(values: Tensor, group: dist.ProcessGroup) -> Tensor:
    found = values.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(found, group=group)
    return found
