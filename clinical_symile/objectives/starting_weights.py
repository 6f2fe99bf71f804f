"""Draw the starting weights of PyTorch's layers from a generator."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def starting_weights(generator: torch.Generator) -> Iterator[None]:
    """Let layers that are made meanwhile draw from a generator; the global state stays unchanged.

    Args:
        generator: the source of starting weights, on the CPU; one number is drawn from it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        yield
