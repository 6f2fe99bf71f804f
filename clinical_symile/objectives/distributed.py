"""Collective operations of training processes, with gradients.

Each process holds a share of a batch: any number of samples, also none. All processes compute the
loss of the whole batch. Gradients are those of the sum of the losses of all processes, which is the
loss times their number. Data-parallel training averages the gradients of parameters over processes,
and so gives the gradients of one process with the whole batch.

A `group` of None means one process with the whole batch.
"""

from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings

Group = dist.ProcessGroup | None


def share_sizes(share: Shaped[Tensor, "sample ..."], group: Group) -> list[int]:
    """Return the number of samples of each process."""
    if group is None:
        return [len(share)]
    sizes = torch.zeros(dist.get_world_size(group), dtype=torch.long, device=share.device)
    sizes[dist.get_rank(group)] = len(share)
    dist.all_reduce(sizes, group=group)
    return sizes.tolist()


def local_slice(sizes: list[int], group: Group) -> slice:
    """Return the positions of this process's samples in the whole batch."""
    rank = 0 if group is None else dist.get_rank(group)
    start = sum(sizes[:rank])
    return slice(start, start + sizes[rank])


def all_gather_with_grad(
    share: Shaped[Tensor, "sample ..."], sizes: list[int], group: Group
) -> Shaped[Tensor, "whole ..."]:
    """Concatenate the shares of all processes."""
    if group is None:
        return share
    if share.dtype == torch.bool:
        return _AllGather.apply(share.int(), sizes, group).bool()
    return _AllGather.apply(share, sizes, group)


def all_reduce_sum(values: Shaped[Tensor, "..."], group: Group) -> Shaped[Tensor, "..."]:
    """Sum values over processes."""
    return values if group is None else _AllReduceSum.apply(values, group)


def all_reduce_logsumexp(values: Float[Tensor, "..."], group: Group) -> Float[Tensor, "..."]:
    """Compute the log-sum-exp of values over processes; at least one of them must be finite."""
    if group is None:
        return values
    peak = values.detach().clone()
    dist.all_reduce(peak, dist.ReduceOp.MAX, group=group)
    return peak + all_reduce_sum((values - peak).exp(), group).log()


def gather_slots(
    z: Float[Tensor, "sample modality dim"],
    available: Bool[Tensor, "sample modality"],
    group: Group,
) -> tuple[Float[Tensor, "whole modality dim"], Bool[Tensor, "whole modality"]]:
    """Return the embeddings and the availability of the whole batch."""
    sizes = share_sizes(z, group)
    return all_gather_with_grad(z, sizes, group), all_gather_with_grad(available, sizes, group)


def gather_embeddings(share: Embeddings, group: Group) -> Embeddings:
    """Return the embeddings of the whole batch."""
    if group is None:
        return share
    sizes = share_sizes(share.z, group)
    z, available, rows = (
        all_gather_with_grad(v, sizes, group) for v in (share.z, share.available, share.rows)
    )
    summary = None if share.summary is None else all_gather_with_grad(share.summary, sizes, group)
    return replace(share, z=z, available=available, rows=rows, summary=summary)


class _AllReduceSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        return _summed(values, group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _summed(gradients[0], ctx.group), None


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, share: Tensor, sizes: list[int], group: dist.ProcessGroup) -> Tensor:
        ctx.own, ctx.group = local_slice(sizes, group), group
        # Collectives need the same shape in every process.
        padded = share.new_zeros((max(sizes), *share.shape[1:]))
        padded[: len(share)] = share
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded, group=group)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _summed(gradients[0], ctx.group)[ctx.own], None, None


def _summed(values: Tensor, group: dist.ProcessGroup) -> Tensor:
    """Return the sum over processes without changing `values`."""
    total = values.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total, group=group)
    return total
