"""Tokens of encoders: vectors of places, time steps or analytes, before they are pooled."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.models.adapters.base import AdaptedEncoder
from clinical_symile.objectives.token_attention import TokenReader


@runtime_checkable
class TokenEncoder(Protocol):
    """Protocol of an encoder that gives tokens; of those of a set, see `TokenSetEncoder`.

    Attributes:
        token_shape: the number of tokens of a sample, and their width.
    """

    @property
    def token_shape(self) -> tuple[int, int]:
        """The number of tokens of a sample, and their width."""
        ...

    def tokens(self, inputs: Float[Tensor, "sample ..."]) -> Float[Tensor, "sample token width"]:
        """Return the tokens of a batch."""
        ...

    def from_tokens(
        self, tokens: Float[Tensor, "sample token width"]
    ) -> Float[Tensor, "sample dim"]:
        """Return what the encoder gives for inputs with these tokens."""
        ...


@runtime_checkable
class TokenSetEncoder(Protocol):
    """Protocol of an encoder whose tokens exist in some samples only, such as measured analytes."""

    def exists(self, tokens: Float[Tensor, "sample token width"]) -> Bool[Tensor, "sample token"]:
        """Return True for the tokens that exist; each sample has one at least."""
        ...


def existing_tokens(
    encoder: TokenEncoder, tokens: Float[Tensor, "sample token width"]
) -> tuple[Float[Tensor, "sample token width"], Bool[Tensor, "sample token"] | None]:
    """Return tokens that are zero where they do not exist, and which exist; None if all do.

    Args:
        encoder: has made the tokens.
        tokens: may hold any value where they do not exist.
    """
    if not isinstance(encoder, TokenSetEncoder):
        return tokens, None
    exists = encoder.exists(tokens)
    return torch.where(exists[:, :, None], tokens, torch.zeros_like(tokens)), exists


def token_encoder(encoder: nn.Module, *, name: str) -> TokenEncoder:
    """Return the encoder that gives tokens; of an adapted one, the encoder within.

    Args:
        encoder: the encoder of a modality.
        name: the modality, for the message.

    Raises:
        ValueError: the encoder gives no tokens.
    """
    inner = encoder.encoder if isinstance(encoder, AdaptedEncoder) else encoder
    if isinstance(inner, TokenEncoder):
        return inner
    raise ValueError(
        f"encoders.{name} is a {type(encoder).__name__}, which gives no tokens; expected an "
        "encoder that does, such as small_cnn, resnet18, resnet1d, mlp or sets, and without "
        "frozen = true. Choose one, or another missing_modality or fusion."
    )


def token_reader(encoder: nn.Module, *, name: str, width: int) -> TokenReader:
    """Return what maps the tokens of an encoder to keys and values.

    The tokens of a set have no positions; see `TokenSetEncoder`.

    Args:
        encoder: the encoder of a modality.
        name: the modality, for the message.
        width: the width of keys and values.

    Raises:
        ValueError: the encoder gives no tokens.
    """
    inner = token_encoder(encoder, name=name)
    ordered = not isinstance(inner, TokenSetEncoder)
    return TokenReader(inner.token_shape, width, ordered=ordered)
