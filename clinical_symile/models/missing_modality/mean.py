"""Put the mean of train samples where a modality is missing."""

from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.models.missing_modality.base import (
    Encode,
    MissingModalityMethod,
    Vectors,
    encode_available,
)

_LEAST_SHARE = 0.01  # of a new batch in the running mean


class RunningMeans(nn.Module):
    """Replace a missing modality by the mean of what its encoder gives for train samples.

    The mean is over earlier batches: all of the first hundred, and later ones by a running mean in
    which a new batch has 1 %. It is normalized like an embedding and has no gradient.
    """

    encodes_available_only = True
    substitute: Tensor
    batches: Tensor

    def __init__(self, modalities: int, dim: int):
        super().__init__()
        self.register_buffer("substitute", torch.zeros(modalities, dim))
        self.register_buffer("batches", torch.zeros(modalities, dtype=torch.long))

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
        kept = partial(self._kept, encoder, column)
        z = encode_available(kept, norm, inputs, available, dim=self.substitute.shape[1])
        # A copy: the next batch changes the mean before the gradient of this one is computed.
        return z, norm(self.substitute[column].clone()[None].to(z.dtype))[0]

    def _kept(self, encoder: Encode, column: int, inputs: Tensor) -> Tensor:
        """Encode available samples, and move the mean towards theirs in training."""
        encoded = encoder(inputs)
        if self.training:
            with torch.no_grad():
                self.batches[column] += 1
                share = (1 / self.batches[column]).clamp(min=_LEAST_SHARE)
                mean = encoded.detach().mean(dim=0).to(self.substitute.dtype)
                self.substitute[column] += share * (mean - self.substitute[column])
        return encoded


MEAN = MissingModalityMethod(
    handler=RunningMeans,
    display_name="mean of train samples",
    description="Puts the mean embedding of train samples where a modality is missing.",
)
"""A baseline: the mean train embedding in place of a missing modality."""
