"""Put the mean of train samples where a modality is missing."""

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.models.missing_modality.base import (
    Encode,
    MissingModalityMethod,
    Vectors,
    encode_available,
)
from clinical_symile.objectives.distributed import all_reduce_sum

_LEAST_SHARE = 0.01  # of a new batch in the running mean


class RunningMeans(nn.Module):
    """Replace a missing modality by the mean of what its encoder gives for train samples.

    The mean is over batches, the present one included: all of the first hundred, and later ones by
    a running mean in which a new batch has 1 %. A batch is that of all processes. The mean is
    normalized like an embedding and has no gradient.
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
        dim = self.substitute.shape[1]
        total = self.substitute.new_zeros(dim + 1)  # the sum of what is encoded, and the count

        def counted(kept: Tensor) -> Tensor:
            encoded = encoder(kept)
            total[:dim] = encoded.detach().to(total.dtype).sum(dim=0)
            total[dim] = len(encoded)
            return encoded

        z = encode_available(counted, norm, inputs, available, dim=dim)
        if self.training:
            self._move(total, column)
        # A copy: the next batch changes the mean before the gradient of this one is computed.
        return z, norm(self.substitute[column].clone()[None].to(z.dtype))[0]

    @torch.no_grad()
    def _move(self, total: Float[Tensor, " dim_and_count"], column: int) -> None:
        """Move the mean of a modality towards that of the whole batch, which processes share."""
        whole = all_reduce_sum(total, dist.group.WORLD if dist.is_initialized() else None)
        count = whole[-1]
        if count == 0:
            return
        self.batches[column] += 1
        share = (1 / self.batches[column]).clamp(min=_LEAST_SHARE)
        self.substitute[column] += share * (whole[:-1] / count - self.substitute[column])


MEAN = MissingModalityMethod(
    handler=RunningMeans,
    display_name="mean of train samples",
    description="Puts the mean embedding of train samples where a modality is missing.",
)
"""A baseline: the mean train embedding in place of a missing modality."""
