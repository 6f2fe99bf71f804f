"""Fuse by the mean."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.objectives.fusion.base import ModalityFusion


class MeanFusion(ModalityFusion):
    """The mean of the available vectors, without parameters.

    Args:
        modalities: the names of the modalities.
        dim: the width of a vector.
        generator: not used.
    """

    display_name = "mean"
    description = "The mean of the available vectors."

    def __init__(self, modalities: tuple[str, ...], dim: int, generator: torch.Generator):
        super().__init__(modalities, dim)

    def fuse(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample dim"]:
        """See `ModalityFusion`."""
        return z.sum(dim=1) / available.sum(dim=1, keepdim=True)
