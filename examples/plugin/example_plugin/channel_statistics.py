"""Encode a signal by the mean and the standard deviation of each channel."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ChannelStatistics(nn.Module):
    """A linear layer on the mean and standard deviation of each channel.

    It is a small reference encoder of waveforms: it ignores the order of time points.

    Args:
        shape: of one input, such as `(lead, time)`.
        dim: width of the output.
        hidden: width of the hidden layer.
    """

    display_name = "channel statistics"

    def __init__(self, shape: tuple[int, ...], dim: int, *, hidden: int = 32):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 * shape[0], hidden), nn.GELU(), nn.Linear(hidden, dim)
        )

    def forward(self, signal: Float[Tensor, "sample channel ..."]) -> Float[Tensor, "sample dim"]:
        """Encode a batch."""
        channels = signal.flatten(2)
        spread = channels.std(dim=2, unbiased=False)
        return self.layers(torch.cat([channels.mean(dim=2), spread], dim=1))
