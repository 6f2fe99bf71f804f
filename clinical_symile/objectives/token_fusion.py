"""A transformer that fuses the tokens of several modalities into one vector."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import normalize

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.base import (
    as_given,
    query_availability,
    query_columns,
    query_embeddings,
)
from clinical_symile.objectives.starting_weights import starting_weights

_SPREAD = 0.02  # of the first vectors of places


class FusionTransformer(nn.Module):
    """A transformer from the tokens of some modalities to one vector of length 1.

    Each token is mapped to `width` and gets the learned vector of its modality and place. The
    output is a linear function of the mean over the visible tokens.

    Args:
        modalities: the number of modalities.
        dim: the width of embeddings and of the output.
        tokens: the tokens of an embedding.
        width: the width inside.
        heads: the heads of attention.
        layers: the layers.
        generator: the source of starting weights.
    """

    def __init__(
        self,
        modalities: int,
        dim: int,
        *,
        tokens: int,
        width: int,
        heads: int,
        layers: int,
        generator: torch.Generator,
    ):
        super().__init__()
        self.tokens = tokens
        with starting_weights(generator):
            self.enter = nn.Linear(dim // tokens, width, bias=False)
            self.places = nn.Parameter(_SPREAD * torch.randn(modalities, tokens, width))
            layer = nn.TransformerEncoderLayer(
                width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
            )
            self.layers = nn.TransformerEncoder(
                layer, layers, nn.LayerNorm(width), enable_nested_tensor=False
            )
            self.leave = nn.Linear(width, dim, bias=False)

    def forward(
        self,
        z: Float[Tensor, "sample modality dim"],
        visible: Bool[Tensor, "sample modality ..."],
    ) -> Float[Tensor, "sample dim"]:
        """Fuse what is visible of each sample, at least one token; all else must be finite.

        Args:
            z: the embeddings.
            visible: True for a visible modality, or for each visible token of a modality.
        """
        tokens = self.enter(z.unflatten(2, (self.tokens, -1))) + self.places
        every = visible if visible.ndim == 3 else visible[:, :, None].expand(*tokens.shape[:3])
        seen = every.flatten(1)
        found = self.layers(tokens.flatten(1, 2), src_key_padding_mask=~seen)
        total = torch.where(seen[:, :, None], found, 0.0).sum(dim=1)
        return normalize(self.leave(total / seen.sum(dim=1, keepdim=True)), dim=1)


def fuse_in_type(
    fusion: nn.Module,
    z: Float[Tensor, "sample modality dim"],
    visible: Bool[Tensor, "sample modality ..."],
) -> Float[Tensor, "sample dim"]:
    """Fuse what is visible, with the network's weights in the type of the embeddings."""
    weights = {name: value.to(z.dtype) for name, value in fusion.named_parameters()}
    return functional_call(fusion, weights, (z, visible))


def score_by_fusion(
    fuse: Callable[[Tensor, Tensor], Tensor],
    query: Embeddings,
    candidates: Float[Tensor, "candidate dim"],
    *,
    target: str,
) -> Float[Tensor, "query candidate"]:
    """Compute the inner product of the fusion of what a query has and that of a candidate alone.

    Args:
        fuse: makes a vector of the visible ones of embeddings [sample, modality, dim].
        query: the embeddings of each query; its column for `target` is never read.
        candidates: embeddings of the target modality.
        target: the modality of the candidates.

    Raises:
        ValueError: a query has no modality available.
    """
    others = query_columns(query, target=target)
    z = query.z.new_zeros(query.z.shape, dtype=torch.float64)
    visible = torch.zeros_like(query.available)
    z[:, others] = query_embeddings(query, target=target, fill=0.0)
    visible[:, others] = query_availability(query, target=target)
    column, count = query.modalities.index(target), len(query.modalities)
    found = fuse_alone(fuse, candidates.double(), column=column, modalities=count)
    return as_given(fuse(z, visible) @ found.T, candidates)


def fuse_alone(
    fuse: Callable[[Tensor, Tensor], Tensor],
    z: Float[Tensor, "sample dim"],
    *,
    column: int,
    modalities: int,
) -> Float[Tensor, "sample dim"]:
    """Fuse embeddings of one modality, each by itself.

    Args:
        fuse: see `score_by_fusion`.
        z: the embeddings.
        column: the column of their modality.
        modalities: the number of columns.
    """
    visible = torch.arange(modalities, device=z.device) == column
    every = torch.where(visible[:, None], z[:, None], 0.0)
    return fuse(every, visible.expand(len(z), -1))
