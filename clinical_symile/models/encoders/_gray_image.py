"""Bring a gray image to the size, the channels and the scale that a network was trained with."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from clinical_symile.models.encoders._validation import require_counts

RESAMPLING = ("bilinear", "bicubic")


class GrayImage(nn.Module):
    """Resize the whole image, repeat it over channels, subtract the mean, and divide by the sd.

    Nothing is cropped: a crop of the centre would lose the edges of the lungs. A reduced image is
    smoothed first, as Pillow does.

    Args:
        size_px: height and width that the network reads.
        mean: of gray levels from 0 to 1, one for each channel.
        sd: the same.
        resampling: `bilinear` or `bicubic`.

    Raises:
        ValueError: a size is no whole number of 1 or more; mean and sd have several lengths, or a
            sd is not above 0; or the resampling is unknown.
    """

    mean: Tensor
    sd: Tensor

    def __init__(
        self, size_px: int, mean: Sequence[float], sd: Sequence[float], resampling: str = "bicubic"
    ):
        require_counts(size_px=size_px)
        if len(mean) != len(sd) or not len(mean) or not all(value > 0 for value in sd):
            raise ValueError(
                f"{len(mean)} mean and {len(sd)} sd; expected both for each channel, and each sd "
                "above 0."
            )
        if resampling not in RESAMPLING:
            raise ValueError(f"resampling is '{resampling}'; expected {', '.join(RESAMPLING)}.")
        super().__init__()
        self.size_px, self.resampling = size_px, resampling
        self.register_buffer("mean", torch.tensor([*mean])[:, None, None], persistent=False)
        self.register_buffer("sd", torch.tensor([*sd])[:, None, None], persistent=False)

    def forward(
        self, image: Float[Tensor, "sample 1 h w"]
    ) -> Float[Tensor, "sample channel size size"]:
        """Convert gray levels from 0 to 1."""
        size = (self.size_px, self.size_px)
        if tuple(image.shape[2:]) != size:
            image = functional.interpolate(image, size, mode=self.resampling, antialias=True)
            image = image.clamp(0, 1)
        return (image - self.mean) / self.sd
