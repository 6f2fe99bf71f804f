"""Learned vectors that replace missing modalities."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.models.missing_modality.base import Encode, Vectors, encode_available


class LearnedVectors(nn.Module):
    """Replace a missing modality by a learned vector, normalized like the embeddings."""

    encodes_available_only = True

    def __init__(self, modalities: int, dim: int):
        super().__init__()
        self.substitute = nn.Parameter(torch.randn(modalities, dim))

    def forward(
        self,
        encoder: Encode,
        norm: nn.Module,
        inputs: Float[Tensor, "sample ..."],
        available: Bool[Tensor, " sample"],
        *,
        column: int,
    ) -> tuple[Vectors, Float[Tensor, " dim"]]:
        """See `MissingModalityHandler`."""
        z = encode_available(encoder, norm, inputs, available, dim=self.substitute.shape[1])
        return z, norm(self.substitute[column][None])[0]
