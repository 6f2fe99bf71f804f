"""Tests and fixtures that draw random numbers draw the same ones, whatever ran before."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def same_draws() -> Iterator[None]:
    """Seed torch's global generator, and leave it as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
