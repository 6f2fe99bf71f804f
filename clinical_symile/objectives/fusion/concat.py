"""Fuse by a perceptron on the concatenation of all vectors."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.objectives.arguments import at_least, refuse
from clinical_symile.objectives.fusion.base import ModalityFusion
from clinical_symile.objectives.starting_weights import starting_weights


class ConcatFusion(ModalityFusion):
    """A perceptron with one hidden layer on all vectors side by side, and on which are available.

    A missing vector enters as zeros.

    Args:
        modalities: the names of the modalities.
        dim: the width of a vector.
        generator: the source of starting weights.
        hidden: width of the hidden layer; None for twice the width of a vector.

    Raises:
        ValueError: `hidden` is below 1.
    """

    display_name = "concatenation"
    description = "A perceptron on all vectors side by side, and on which are available."

    def __init__(
        self,
        modalities: tuple[str, ...],
        dim: int,
        generator: torch.Generator,
        *,
        hidden: int | None = None,
    ):
        super().__init__(modalities, dim)
        width = 2 * dim if hidden is None else hidden
        refuse(at_least(1, hidden=width))
        with starting_weights(generator):
            self.layers = nn.Sequential(
                nn.Linear(len(modalities) * (dim + 1), width), nn.GELU(), nn.Linear(width, dim)
            )

    def fuse(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample dim"]:
        """See `ModalityFusion`."""
        return self.layers(torch.cat([z.flatten(1), available.to(z.dtype)], dim=1))
