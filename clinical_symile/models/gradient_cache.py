"""Large batches in little memory: an encoder that runs over a part of the batch at a time.

A contrastive loss needs every embedding of a batch at once, but not every activation. Each part is
encoded without keeping any; when the gradient of the loss with respect to its embeddings is known,
the part is encoded once more, with the same random draws, and the gradient goes on from there. This
is gradient caching (Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited
Setup", 2021, https://arxiv.org/abs/2101.06983), with PyTorch's checkpointing for the bookkeeping.
It is exact where a sample's vector depends on no other sample of the batch.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.utils.checkpoint import checkpoint


def encode_in_chunks(
    encoder: nn.Module, inputs: Float[Tensor, "sample ..."], *, at_a_time: int
) -> Float[Tensor, "sample dim"]:
    """What `encoder(inputs)` gives, holding the activations of few samples.

    Parts are of equal size up to one, and of two samples at least, which statistics need.

    Args:
        encoder: `[sample, ...]` → `[sample, dim]`.
        inputs: of all samples.
        at_a_time: how many samples a part holds at most, unless that is fewer than two or leaves
            one over.
    """
    parts = max(1, min(-(-len(inputs) // at_a_time), len(inputs) // 2))
    encoded = [
        checkpoint(encoder, part, use_reentrant=False, context_fn=partial(_contexts, encoder))
        for part in inputs.tensor_split(parts)
    ]
    return torch.cat(encoded)


def batch_dependent_modules(module: nn.Module) -> list[str]:
    """The layers through which samples of a batch act on each other, such as `norm (BatchNorm1d)`.

    PyTorch's batch normalisation in all its forms is known; code of one's own is not looked into.
    """
    return [
        f"{name} ({type(layer).__name__})"
        for name, layer in module.named_modules()
        if isinstance(layer, _BatchNorm) and (layer.training or layer.running_mean is None)
    ]


def _contexts(module: nn.Module) -> tuple[AbstractContextManager, AbstractContextManager]:
    """For the first and for the second time that a part is encoded."""
    return nullcontext(), _running_statistics_kept(module)


@contextmanager
def _running_statistics_kept(module: nn.Module) -> Iterator[None]:
    """Encode as ever, but move no running mean or variance: the first time did."""
    layers = [layer for layer in module.modules() if isinstance(layer, _NormBase)]
    kept = [(layer.momentum, layer.num_batches_tracked) for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
        if layer.num_batches_tracked is not None:
            layer.num_batches_tracked = layer.num_batches_tracked.clone()
    try:
        yield
    finally:
        for layer, (momentum, batches) in zip(layers, kept, strict=True):
            layer.momentum, layer.num_batches_tracked = momentum, batches
