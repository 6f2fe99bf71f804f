"""Encode zeros and a missing indicator in place of a missing modality."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.models.missing_modality.base import Encode, MissingModalityMethod, Vectors


class Indicator(nn.Module):
    """Let the encoder read zeros where a modality is missing, and add an indicator to its output.

    The indicator is a learned vector, added where every encoder is linear: at its output. The
    replacement of a missing modality is the embedding of zeros with the indicator. Each batch
    encodes it once more, so that it exists whatever is hidden later.

    Source: Saporta et al., "Contrasting with Symile", NeurIPS 2024, on missing modalities.
    https://arxiv.org/abs/2411.01053
    """

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
        is_available = available.reshape(-1, *[1] * (inputs.ndim - 1))
        kept = torch.where(is_available, inputs, torch.zeros_like(inputs))
        encoded = encoder(torch.cat([kept, torch.zeros_like(inputs[:1])]))
        missing = torch.cat([~available, available.new_ones(1)])[:, None]
        z = norm(encoded + torch.where(missing, self.substitute[column], 0.0))
        return torch.where(available[:, None], z[:-1], torch.zeros_like(z[:-1])), z[-1]


INDICATOR = MissingModalityMethod(
    handler=Indicator,
    min_modalities=1,
    display_name="missing indicator",
    description="Receives an indicator of each missing modality, and trains on all admissions.",
    source=(
        'Saporta et al., "Contrasting with Symile", NeurIPS 2024, '
        "https://arxiv.org/abs/2411.01053 (on missing modalities)"
    ),
)
"""As the paper does it: zeros and an indicator enter the encoder, all rows are in the loss."""
