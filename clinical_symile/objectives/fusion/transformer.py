"""Fuse by a transformer over the available vectors."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.objectives.arguments import at_least, multiple_of, refuse
from clinical_symile.objectives.fusion.base import ModalityFusion
from clinical_symile.objectives.token_fusion import FusionTransformer


class TransformerFusion(ModalityFusion):
    """A transformer over the tokens of the available vectors, as in `comm`; its output has √dim.

    Args:
        modalities: the names of the modalities.
        dim: the width of a vector, a multiple of `tokens`.
        generator: the source of starting weights.
        tokens: the tokens of a vector.
        width: the width inside, a multiple of `heads`.
        heads: the heads of attention.
        layers: the layers.

    Raises:
        ValueError: an argument is out of range, or the widths cannot be divided.
    """

    display_name = "transformer"
    description = "A transformer over the tokens of the available vectors."

    def __init__(
        self,
        modalities: tuple[str, ...],
        dim: int,
        generator: torch.Generator,
        *,
        tokens: int = 1,
        width: int = 64,
        heads: int = 4,
        layers: int = 1,
    ):
        super().__init__(modalities, dim)
        refuse(
            at_least(1, tokens=tokens, width=width, heads=heads, layers=layers),
            multiple_of(heads, width=width),
            multiple_of(tokens, dim=dim),
        )
        self.inner = FusionTransformer(
            len(modalities),
            dim,
            tokens=tokens,
            width=width,
            heads=heads,
            layers=layers,
            generator=generator,
        )

    def fuse(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample dim"]:
        """See `ModalityFusion`."""
        return math.sqrt(self.dim) * self.inner(z, available)
