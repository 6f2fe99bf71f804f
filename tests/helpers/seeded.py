"""Tests and fixtures that draw random numbers draw the same each time."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch


def global_states() -> dict[str, object]:
    """Find the states of the generators that libraries draw from where none is passed."""
    # Read, never drawn from.
    numpy = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": (numpy["key"].tobytes(), numpy["pos"]),
    }


@contextmanager
def no_global_draws() -> Iterator[None]:
    """Fail where a test or a fixture draws from a global generator.

    What it draws would depend on the tests that ran before, and so would its result.
    """
    before = global_states()
    yield
    after = global_states()
    if moved := " and ".join(name for name in before if after[name] != before[name]):
        pytest.fail(
            f"this drew from the global generator of {moved}: pass a generator, or draw inside "
            "torch.random.fork_rng() after torch.manual_seed()",
            pytrace=False,
        )
