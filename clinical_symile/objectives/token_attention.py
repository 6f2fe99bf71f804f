"""Attention over the tokens of one modality, which can be joined with that over others' tokens."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


@dataclass(frozen=True)
class TokenQueries:
    """The number and the width of queries that attend to the tokens of each modality.

    What they find in the tokens of one modality is its summary: the mean values of all queries, and
    then the log of each query's sum of exponentials. Attention to the tokens of several modalities
    follows from their summaries, see `join_attention`.

    Attributes:
        number: the number of queries.
        width: the width of queries, keys and values.
    """

    number: int
    width: int

    @property
    def summary_width(self) -> int:
        """The numbers of a summary."""
        return self.number * (self.width + 1)

    def pack(
        self,
        outputs: Float[Tensor, "sample query width"],
        normalizers: Float[Tensor, "sample query"],
    ) -> Float[Tensor, "sample number"]:
        """Return the summary of one modality's tokens, from what `attend` gives."""
        return torch.cat([outputs.flatten(1), normalizers], dim=1)

    def unpack(
        self, summary: Float[Tensor, "sample part number"]
    ) -> tuple[Float[Tensor, "sample part query width"], Float[Tensor, "sample part query"]]:
        """Return what `join_attention` reads, from the summaries of several parts."""
        outputs = summary[..., : self.number * self.width]
        normalizers = summary[..., self.number * self.width :]
        return outputs.unflatten(2, (self.number, self.width)), normalizers


class TokenReader(nn.Module):
    """Map an encoder's tokens to keys and values, with a learned vector for each position.

    Args:
        shape: the number of tokens of a sample, and their width.
        width: the width of keys and values.
        ordered: True if the place of a token says what it is; False for a set, whose tokens say it
            themselves, and have no positions.
    """

    def __init__(self, shape: tuple[int, int], width: int, *, ordered: bool = True):
        super().__init__()
        count, of_token = shape
        self.project = nn.Linear(of_token, width)
        positions = nn.Parameter(0.02 * torch.randn(count, width)) if ordered else None
        self.register_parameter("positions", positions)
        self.register_load_state_dict_pre_hook(_with_kept_positions)
        self.norm = nn.LayerNorm(width)
        self.keys = nn.Linear(width, width, bias=False)
        self.values = nn.Linear(width, width, bias=False)

    def forward(
        self, tokens: Float[Tensor, "sample token number"]
    ) -> tuple[Float[Tensor, "sample token width"], Float[Tensor, "sample token width"]]:
        """Return keys and values."""
        projected = self.project(tokens)
        if self.positions is not None:
            projected = projected + self.positions
        read = self.norm(projected)
        return self.keys(read), self.values(read)


def _with_kept_positions(
    reader: nn.Module, state: Mapping[str, Tensor], prefix: str, *_: object
) -> None:
    """Give a reader of a set the positions that weights of versions up to 0.2.6 have."""
    kept = state.get(f"{prefix}positions")
    if kept is not None and getattr(reader, "positions", None) is None:
        reader.register_parameter("positions", nn.Parameter(torch.zeros_like(kept)))


def attend(
    queries: Float[Tensor, "query width"],
    keys: Float[Tensor, "sample token width"],
    values: Float[Tensor, "sample token number"],
    exists: Bool[Tensor, "sample token"] | None = None,
) -> tuple[Float[Tensor, "sample query number"], Float[Tensor, "sample query"]]:
    """Attend to tokens, scaled by the square root of the width.

    Args:
        queries: what attends.
        keys: the keys of tokens.
        values: their values, finite also where a token does not exist.
        exists: True where a token exists, which each sample has at least one of; others have a
            weight of 0. None if all exist.

    Returns:
        The mean of values by softmax weights, and the log of the weights' normalizer, which has 32
        bits at least: others' shares depend on its digits.
    """
    scores = queries @ keys.mT / math.sqrt(queries.shape[1])
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    if exists is not None:
        scores = scores.masked_fill(~exists[:, None], torch.finfo(scores.dtype).min)
    return scores.softmax(dim=2).to(values.dtype) @ values, scores.logsumexp(dim=2)


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
