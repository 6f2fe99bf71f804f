"""Starting weights come from a generator alone, and the global random state is left unchanged."""

import torch
from torch import nn

from clinical_symile.objectives.starting_weights import starting_weights


def test_layers_draw_from_the_generator_and_the_global_state_stays() -> None:
    def made(seed: int) -> torch.Tensor:
        with starting_weights(torch.Generator().manual_seed(seed)):
            return nn.Linear(3, 2).weight

    state = torch.random.get_rng_state()
    first = made(3)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.randn(5)
    assert torch.equal(made(3), first)
    assert not torch.equal(made(4), first)
