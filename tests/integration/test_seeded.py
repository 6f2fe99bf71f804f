"""A test that draws from a global generator fails, whatever it finds."""

from contextlib import AbstractContextManager

import numpy as np
import pytest
import torch

from tests.helpers.seeded import no_global_draws


def fails(library: str) -> AbstractContextManager[object]:
    expected = f"global generator of {library}: pass a generator"
    return pytest.raises(pytest.fail.Exception, match=expected)


def test_a_draw_from_a_global_generator_fails():
    with torch.random.fork_rng(devices=[]):
        with fails("torch"), no_global_draws():
            torch.nn.Linear(2, 2)
        with no_global_draws():
            torch.rand(2, generator=torch.Generator())
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                torch.nn.Linear(2, 2)


def test_a_draw_of_numpy_fails():
    kept = np.random.get_state()  # noqa: NPY002
    try:
        with fails("numpy"), no_global_draws():
            np.random.rand()  # noqa: NPY002
        with no_global_draws():
            np.random.default_rng(0).random()
    finally:
        np.random.set_state(kept)  # noqa: NPY002
