"""A transformer that fuses the tokens of several modalities into one vector."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import normalize

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
        visible: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample dim"]:
        """Fuse the visible embeddings of each sample, at least one; others must be finite."""
        tokens = self.enter(z.unflatten(2, (self.tokens, -1))) + self.places
        seen = visible.repeat_interleave(self.tokens, dim=1)
        found = self.layers(tokens.flatten(1, 2), src_key_padding_mask=~seen)
        total = torch.where(seen[:, :, None], found, 0.0).sum(dim=1)
        return normalize(self.leave(total / seen.sum(dim=1, keepdim=True)), dim=1)
