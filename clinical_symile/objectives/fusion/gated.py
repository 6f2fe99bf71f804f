"""Fuse by gates that weigh each modality's features."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.objectives.fusion.base import ModalityFusion
from clinical_symile.objectives.starting_weights import starting_weights


class GatedFusion(ModalityFusion):
    """The sum of a hidden vector of each available modality, each feature weighed by a gate.

    The hidden vector is tanh of a linear function of the modality's vector. The gates of a feature
    are a softmax over the available modalities, of linear functions of all vectors and of which
    are available. They add up to 1, so that a lone modality passes whole.

    Source: Arevalo et al., "Gated Multimodal Units for Information Fusion", 2017,
    https://arxiv.org/abs/1702.01992. There, gates of more than two modalities are sigmoids; the
    softmax is this project's, because some of the modalities may be missing.

    Args:
        modalities: the names of the modalities.
        dim: the width of a vector.
        generator: the source of starting weights.
    """

    display_name = "gated"
    description = "Hidden vectors of the available modalities, each feature weighed by a gate."
    source = (
        'Arevalo et al., "Gated Multimodal Units for Information Fusion", 2017, '
        "https://arxiv.org/abs/1702.01992"
    )

    def __init__(self, modalities: tuple[str, ...], dim: int, generator: torch.Generator):
        super().__init__(modalities, dim)
        count = len(modalities)
        with starting_weights(generator):
            self.hidden = nn.ModuleList(nn.Linear(dim, dim) for _ in modalities)
            self.gates = nn.Linear(count * (dim + 1), count * dim)

    def fuse(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample dim"]:
        """See `ModalityFusion`."""
        every = zip(self.hidden, z.unbind(dim=1), strict=True)
        hidden = torch.stack([layer(vectors) for layer, vectors in every], dim=1).tanh()
        gates = self.gates(torch.cat([z.flatten(1), available.to(z.dtype)], dim=1))
        gates = gates.unflatten(1, z.shape[1:]).masked_fill(~available[:, :, None], -torch.inf)
        return (gates.softmax(dim=1) * hidden).sum(dim=1)
