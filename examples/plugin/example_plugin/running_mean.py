"""Replace a missing modality by the running mean of its embeddings."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.models.missing_modality.base import (
    Encode,
    MissingModalityMethod,
    Vectors,
    encode_available,
)


class RunningMean(nn.Module):
    """Encode available samples, and replace the others by the mean embedding seen in training.

    The mean is a buffer: it is saved with the weights and has no gradient.

    Args:
        modalities: how many there are.
        dim: width of the embeddings.
    """

    momentum = 0.1

    def __init__(self, modalities: int, dim: int):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.mean: Tensor
        self.register_buffer("mean", torch.randn(modalities, dim, generator=generator))

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
        z = encode_available(encoder, norm, inputs, available, dim=self.mean.shape[1])
        if self.training and bool(available.any()):
            batch_mean = z.detach()[available].mean(dim=0).to(self.mean.dtype)
            mean = self.mean.clone()
            mean[column] = (1 - self.momentum) * mean[column] + self.momentum * batch_mean
            self.mean = mean
        return z, norm(self.mean[column][None])[0]


RUNNING_MEAN = MissingModalityMethod(
    handler=RunningMean,
    display_name="running mean",
    description="Puts the running mean of a modality's embeddings where it is missing.",
)
