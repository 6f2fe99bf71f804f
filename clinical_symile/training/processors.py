"""Share processors and GPUs: threads, on which the last digits of results depend, and devices."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

GPU_VARIABLE = "CUDA_VISIBLE_DEVICES"
"""The variable that says which GPUs a process sees."""


def visible_gpus() -> list[str]:
    """Return the names of the GPUs that this process sees, as `CUDA_VISIBLE_DEVICES` has them."""
    named = os.environ.get(GPU_VARIABLE)
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    return [str(number) for number in range(torch.cuda.device_count())]


def available_processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def limited_threads(number: int | None) -> Iterator[None]:
    """Let PyTorch, NumPy and scikit-learn use a number of threads inside the block.

    Args:
        number: the number of threads; None to change nothing.
    """
    if number is None:
        yield
        return
    before = torch.get_num_threads()
    with threadpool_limits(number):
        torch.set_num_threads(number)
        try:
            yield
        finally:
            torch.set_num_threads(before)
