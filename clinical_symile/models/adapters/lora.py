"""Low-rank adaptation: the product of two small matrices is added to the weights of a layer."""

import math
from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from clinical_symile.models.adapters.base import UpdatingAdapter, WeightUpdate, adaptable_layers


class LowRankUpdate(WeightUpdate):
    """A weight W becomes W + alpha / rank · B A, with B of zeros at the start.

    Args:
        weight: W; axes after the first are read as one.
        rank: the number of rows of A and of columns of B.
        alpha: the scale of the product, before it is divided by the rank.
    """

    def __init__(self, weight: Float[Tensor, "out ..."], *, rank: int, alpha: float):
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        self.a = nn.Parameter(torch.empty(rank, columns, dtype=weight.dtype))
        self.b = nn.Parameter(torch.zeros(rows, rank, dtype=weight.dtype))
        self.scale = alpha / rank
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))

    @property
    def is_identity(self) -> bool:
        """True if the product is zero, since B is."""
        return not self.b.detach().any()

    def forward(self, weight: Float[Tensor, "out ..."]) -> Float[Tensor, "out ..."]:
        """Return the changed weight."""
        return weight + self.scale * (self.b @ self.a).view_as(weight)


class Lora(UpdatingAdapter):
    """LoRA on every linear and convolutional layer of an encoder, or on those that are named.

    The changed weight is computed in each step, so that any such layer can be adapted. Training
    saves the optimiser's memory of all but the small matrices; it saves no activations.

    Args:
        rank: the rank of the update; at most the smaller side of a layer's weight.
        alpha: the scale of the update; by default the rank, which makes the factor 1.
        layers: patterns of names of layers, such as `*.qkv`; by default all.

    Raises:
        ValueError: `rank` is no whole number of 1 or more, or `alpha` is not above 0.
    """

    display_name = "LoRA"
    description = "Adds a low-rank update to linear and convolutional weights."
    source = (
        'Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, '
        "https://arxiv.org/abs/2106.09685"
    )

    def __init__(
        self, *, rank: int = 8, alpha: float | None = None, layers: Sequence[str] = ("*",)
    ):
        if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
            raise ValueError(f"rank is {rank!r}; expected a whole number of 1 or more.")
        if alpha is not None and not alpha > 0:
            raise ValueError(f"alpha is {alpha!r}; expected a number above 0.")
        self.rank, self.layers = rank, tuple(layers)
        self.alpha = float(rank) if alpha is None else float(alpha)

    def updates(self, encoder: nn.Module, *, head: nn.Module | None) -> dict[str, LowRankUpdate]:
        """See `UpdatingAdapter`."""
        chosen = adaptable_layers(
            encoder,
            (nn.Linear, _ConvNd),
            head=head,
            patterns=self.layers,
            what="linear or convolutional",
        )
        for name, module in chosen.items():
            assert isinstance(module, nn.Linear | _ConvNd)
            smaller = min(module.weight.shape[0], module.weight[0].numel())
            if self.rank > smaller:
                raise ValueError(
                    f"rank is {self.rank}; expected at most {smaller}, the smaller side of layer "
                    f"'{name}'. Lower it, or name other layers in 'layers'."
                )
        return {
            name: LowRankUpdate(cast(Tensor, module.weight), rank=self.rank, alpha=self.alpha)
            for name, module in chosen.items()
        }
