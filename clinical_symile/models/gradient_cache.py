"""Gradient caching: encode a large batch in chunks, to save memory.

A contrastive loss needs all embeddings of a batch at once, but not all activations. Each chunk is
encoded without keeping activations. Once the gradient of the loss with respect to its embeddings is
known, the chunk is encoded again, with the same random draws. Then the gradient is propagated. This
is gradient caching (Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited
Setup", 2021, https://arxiv.org/abs/2101.06983), by PyTorch's checkpointing. It is exact if the
embedding of a sample depends on no other sample of the batch.
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
    """Return `encoder(inputs)`, holding the activations of few samples at a time.

    Chunks have equal sizes up to one, and at least two samples, which batch statistics need.

    Args:
        encoder: `[sample, ...]` → `[sample, dim]`.
        inputs: the inputs of all samples.
        at_a_time: the largest number of samples in a chunk, unless that is below two or leaves one
            over.
    """
    chunks = max(1, min(-(-len(inputs) // at_a_time), len(inputs) // 2))
    encoded = [
        checkpoint(encoder, chunk, use_reentrant=False, context_fn=partial(_contexts, encoder))
        for chunk in inputs.tensor_split(chunks)
    ]
    return torch.cat(encoded)


def batch_dependent_modules(module: nn.Module) -> list[str]:
    """List the layers through which samples of a batch interact, such as `norm (BatchNorm1d)`.

    Only PyTorch's batch normalisation layers are detected, not your own layers.
    """
    return [
        f"{name} ({type(layer).__name__})"
        for name, layer in module.named_modules()
        if isinstance(layer, _BatchNorm) and (layer.training or layer.running_mean is None)
    ]


@contextmanager
def frozen_running_statistics(module: nn.Module) -> Iterator[None]:
    """Keep running means and variances as they are while a module encodes in training mode.

    Layers still normalise by the statistics of what they read.
    """
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


def _contexts(module: nn.Module) -> tuple[AbstractContextManager, AbstractContextManager]:
    """Return the contexts of the first and the second encoding of a chunk."""
    return nullcontext(), frozen_running_statistics(module)
