"""Encoders whose output is followed by a summary of their tokens."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clinical_symile.models.adapters.base import encode_with
from clinical_symile.models.missing_modality.base import TokenHandler
from clinical_symile.models.tokens import existing_tokens, token_encoder


class SummarizingEncoder(nn.Module):
    """An encoder with a handler that summarizes its tokens, for as long as a batch is encoded.

    Args:
        encoder: the encoder of a modality.
        handler: summarizes tokens, and may update layers of the encoder.
        name: the modality.
        column: its position among all.
    """

    def __init__(self, encoder: nn.Module, handler: TokenHandler, *, name: str, column: int):
        super().__init__()
        token_encoder(encoder, name=name)
        self.whole = _OutputAndSummary(encoder, handler, name, column)
        updates = handler.updates_of(column)
        self.updates = {f"encoder.{layer}".rstrip("."): u for layer, u in updates.items()}

    def forward(self, inputs: Float[Tensor, "sample ..."]) -> Float[Tensor, "sample number"]:
        """Return the encoder's output, followed by the summary."""
        return encode_with(self.whole, self.updates, inputs)


class _OutputAndSummary(nn.Module):
    """The encoder and the handler, as one module."""

    def __init__(self, encoder: nn.Module, handler: TokenHandler, name: str, column: int):
        super().__init__()
        self.encoder, self.handler, self.name, self.column = encoder, handler, name, column

    def forward(self, inputs: Tensor) -> Tensor:
        encoder = token_encoder(self.encoder, name=self.name)
        tokens = encoder.tokens(inputs)
        read, exists = existing_tokens(encoder, tokens)
        summary = self.handler.summarize(read, column=self.column, exists=exists)
        output = encoder.from_tokens(tokens)
        kept = torch.promote_types(output.dtype, summary.dtype)  # of narrow outputs, no less
        return torch.cat([output.to(kept), summary.to(kept)], dim=1)


def split_summary(
    made: Float[Tensor, "sample modality number"], handler: nn.Module
) -> tuple[Float[Tensor, "sample modality dim"], Float[Tensor, "sample modality rest"] | None]:
    """Divide what encoders give into vectors and summaries; None if the handler makes none."""
    if not isinstance(handler, TokenHandler):
        return made, None
    return made[..., : handler.dim], made[..., handler.dim :]
