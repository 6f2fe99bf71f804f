"""Fuse by a learned query that attends to the available vectors."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.objectives.arguments import at_least, multiple_of, refuse
from clinical_symile.objectives.fusion.base import ModalityFusion
from clinical_symile.objectives.starting_weights import starting_weights

_SPREAD = 0.02  # of the first vectors of modalities


class AttentionFusion(ModalityFusion):
    """Attention of one learned query to the available vectors, each with a vector of its modality.

    Source: pooling by multi-head attention of Lee et al., "Set Transformer", ICML 2019,
    https://arxiv.org/abs/1810.00825, with one seed and without its feed-forward layers.

    Args:
        modalities: the names of the modalities.
        dim: the width of a vector, a multiple of `heads`.
        generator: the source of starting weights.
        heads: the heads of attention.

    Raises:
        ValueError: `heads` is below 1 or does not divide the width.
    """

    display_name = "attention"
    description = "Attention of a learned query to the available vectors."
    source = 'Lee et al., "Set Transformer", ICML 2019, https://arxiv.org/abs/1810.00825'

    def __init__(
        self,
        modalities: tuple[str, ...],
        dim: int,
        generator: torch.Generator,
        *,
        heads: int = 4,
    ):
        super().__init__(modalities, dim)
        refuse(at_least(1, heads=heads), multiple_of(heads, dim=dim))
        with starting_weights(generator):
            self.query = nn.Parameter(torch.randn(dim))
            self.places = nn.Parameter(_SPREAD * torch.randn(len(modalities), dim))
            self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)

    def fuse(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample dim"]:
        """See `ModalityFusion`."""
        query, keys = self.query.expand(len(z), 1, -1), z + self.places
        found, _ = self.attention(
            query, keys, keys, key_padding_mask=~available, need_weights=False
        )
        return found[:, 0]
