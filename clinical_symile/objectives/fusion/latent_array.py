"""HEALNet: fuse by a latent array that attends to each available modality in turn."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.objectives.arguments import at_least, multiple_of, refuse
from clinical_symile.objectives.fusion.base import ModalityFusion
from clinical_symile.objectives.starting_weights import starting_weights

_SPREAD = 0.02  # of the first vectors of places


class LatentArrayFusion(ModalityFusion):
    """A learned array of latent vectors, updated by attention to each available modality in turn.

    A pass goes through the modalities in the order of the task: the array attends to the tokens of
    a modality, then passes a feed-forward layer; both are added to it. A missing modality is
    skipped, which leaves the array as it is. After the modalities the array attends to itself. All
    passes share their weights; each modality has its own. The output is a linear function of the
    mean of the latent vectors.

    Source: Hemker et al., "HEALNet: Multimodal Fusion for Heterogeneous Biomedical Data", NeurIPS
    2024, https://arxiv.org/abs/2311.09115; its code, konst-int-i/healnet at 90459b6, has the
    Apache licence 2.0 and was read. There the tokens are pixels or patches with Fourier features
    of their places. Here an embedding of width d is `tokens` of width d / `tokens`, each with a
    learned vector of its place. Its softmax of temperature 0.5 and its self-normalizing layers are
    left out.

    Args:
        modalities: the names of the modalities, in the order of a pass.
        dim: the width of a vector, a multiple of `tokens`.
        generator: the source of starting weights.
        latents: the latent vectors.
        width: the width of a latent vector, a multiple of `heads`.
        tokens: the tokens of a modality's vector.
        heads: the heads of attention.
        passes: the passes through all modalities.

    Raises:
        ValueError: an argument is out of range, or the widths cannot be divided.
    """

    display_name = "latent array (HEALNet)"
    description = "A latent array that attends to each available modality in turn."
    source = (
        'Hemker et al., "HEALNet: Multimodal Fusion for Heterogeneous Biomedical Data", NeurIPS '
        "2024, https://arxiv.org/abs/2311.09115"
    )

    def __init__(
        self,
        modalities: tuple[str, ...],
        dim: int,
        generator: torch.Generator,
        *,
        latents: int = 8,
        width: int = 64,
        tokens: int = 4,
        heads: int = 4,
        passes: int = 2,
    ):
        super().__init__(modalities, dim)
        refuse(
            at_least(1, latents=latents, width=width, tokens=tokens, heads=heads, passes=passes),
            multiple_of(heads, width=width),
            multiple_of(tokens, dim=dim),
        )
        self.tokens, self.passes = tokens, passes
        with starting_weights(generator):
            self.latents = nn.Parameter(torch.randn(latents, width))
            self.places = nn.Parameter(
                _SPREAD * torch.randn(len(modalities), tokens, dim // tokens)
            )
            self.steps = nn.ModuleList(
                _AttentionStep(width, dim // tokens, heads) for _ in modalities
            )
            self.itself = _AttentionStep(width, width, heads)
            self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, dim))

    def fuse(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample dim"]:
        """See `ModalityFusion`."""
        tokens = z.unflatten(2, (self.tokens, -1)) + self.places
        array = self.latents.expand(len(z), -1, -1)
        for _ in range(self.passes):
            for column, step in enumerate(self.steps):
                has = available[:, column, None, None]
                array = torch.where(has, step(array, tokens[:, column]), array)
            array = self.itself(array, array)
        return self.leave(array.mean(dim=1))


class _AttentionStep(nn.Module):
    """Add attention to some tokens to an array, and a feed-forward layer to the result."""

    def __init__(self, width: int, token_width: int, heads: int):
        super().__init__()
        self.array_norm, self.token_norm = nn.LayerNorm(width), nn.LayerNorm(token_width)
        self.attention = nn.MultiheadAttention(
            width, heads, batch_first=True, kdim=token_width, vdim=token_width
        )
        self.forward_layers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, array: Tensor, tokens: Tensor) -> Tensor:
        keys = self.token_norm(tokens)
        found, _ = self.attention(self.array_norm(array), keys, keys, need_weights=False)
        array = array + found
        return array + self.forward_layers(array)
