"""Attention over the tokens of one modality, which can be joined with that over others' tokens."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class TokenReader(nn.Module):
    """Map an encoder's tokens to keys and values, with a learned vector for each position.

    Args:
        shape: the number of tokens of a sample, and their width.
        width: the width of keys and values.
    """

    def __init__(self, shape: tuple[int, int], width: int):
        super().__init__()
        count, of_token = shape
        self.project = nn.Linear(of_token, width)
        self.positions = nn.Parameter(0.02 * torch.randn(count, width))
        self.norm = nn.LayerNorm(width)
        self.keys = nn.Linear(width, width, bias=False)
        self.values = nn.Linear(width, width, bias=False)

    def forward(
        self, tokens: Float[Tensor, "sample token number"]
    ) -> tuple[Float[Tensor, "sample token width"], Float[Tensor, "sample token width"]]:
        """Return keys and values."""
        read = self.norm(self.project(tokens) + self.positions)
        return self.keys(read), self.values(read)


def attend(
    queries: Float[Tensor, "query width"],
    keys: Float[Tensor, "sample token width"],
    values: Float[Tensor, "sample token number"],
) -> tuple[Float[Tensor, "sample query number"], Float[Tensor, "sample query"]]:
    """Attend to tokens, scaled by the square root of the width.

    Returns:
        The mean of values by softmax weights, and the log of the weights' normalizer.
    """
    scores = queries @ keys.mT / math.sqrt(queries.shape[1])
    return scores.softmax(dim=2) @ values, scores.logsumexp(dim=2)


def join_attention(
    outputs: Float[Tensor, "sample part query number"],
    normalizers: Float[Tensor, "sample part query"],
    available: Bool[Tensor, "sample part"],
) -> Float[Tensor, "sample query number"]:
    """Return the attention over the tokens of all available parts, from that over each part.

    The weights of a part's tokens are those within the part, times the part's share of the sum of
    exponentials. A sample without any part has the mean of its outputs.

    Args:
        outputs: the mean values of each part; zero where unavailable.
        normalizers: the log of each part's sum of exponentials.
        available: True where a sample has the part.
    """
    least = torch.finfo(normalizers.dtype).min
    shares = normalizers.masked_fill(~available[:, :, None], least).softmax(dim=1)
    return (shares[..., None] * outputs).sum(dim=1)
