"""Keep what queries find in the tokens of each modality, for a fusion or a replacement."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.models.missing_modality.base import (
    DropModality,
    MissingModalityMethod,
    TokenHandler,
)
from clinical_symile.models.tokens import token_reader
from clinical_symile.objectives.token_attention import TokenQueries, attend


class KeptTokens(TokenHandler):
    """Keep what learned queries find in the tokens of each modality; a missing one is left out.

    Args:
        modalities: the number of modalities.
        dim: the width of the embeddings.
        queries: the number and the width of the queries, which are learned.
    """

    def __init__(self, modalities: int, dim: int, *, queries: TokenQueries):
        super().__init__(modalities, dim)
        self.shape, self.summary_width = queries, queries.summary_width
        self.queries = nn.Parameter(torch.randn(queries.number, queries.width))
        self.readers = nn.ModuleList()

    def connect(self, encoders: Mapping[str, nn.Module]) -> None:
        """See `TokenHandler`."""
        for name, encoder in encoders.items():
            self.readers.append(token_reader(encoder, name=name, width=self.shape.width))

    def summarize(
        self,
        tokens: Float[Tensor, "sample token width"],
        *,
        column: int,
        exists: Bool[Tensor, "sample token"] | None = None,
    ) -> Float[Tensor, "sample number"]:
        """Return what each query finds in the tokens of a modality, and its normalizer."""
        keys, values = self.readers[column](tokens)
        return self.shape.pack(*attend(self.queries, keys, values, exists))


def keep_tokens(method: MissingModalityMethod, queries: TokenQueries) -> MissingModalityMethod:
    """Return a method that also keeps what queries find in the tokens of each modality.

    Args:
        method: leaves a missing modality out.
        queries: the number and the width of the queries.

    Raises:
        ValueError: the method puts something in the place of a missing modality, or encodes by set.
    """
    if method.handler is not DropModality or method.fit is not None or method.panel is not None:
        raise ValueError(
            "it puts something in the place of a missing modality or changes encoders, and a "
            "missing modality has no tokens; expected complete or drop. Choose one of these, or "
            "another fusion."
        )
    return replace(method, handler=partial(KeptTokens, queries=queries))
