"""Replace a missing modality by what modalities share."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from math import log

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, logsigmoid

from clinical_symile.models.missing_modality.base import (
    FillingHandler,
    MissingModalityMethod,
    scaled_vectors,
)


class SharedParts(FillingHandler):
    """Split each embedding into a shared and a specific part; only shared ones replace a modality.

    A linear map of each modality gives the shared part of its embedding, another one the specific
    part, and a third restores the embedding from their sum. Four terms are learned from samples
    that have what they read, without a gradient for the embedding that is restored:

    - `shared`: the Jensen-Shannon divergence of the sigmoids of two modalities' shared parts;
    - `orthogonal`: the size of the cosine of an embedding's shared and specific part;
    - `restored`: the mean square error of the embedding from both of its parts;
    - `replaced`: the mean square error of the embedding from the others' shared parts.

    A missing modality is restored from the mean of the available modalities' shared parts. No
    specific part is read for it.

    Source: Yao et al., "DrFuse", AAAI 2024, https://arxiv.org/abs/2403.06197, for the two parts,
    their first two losses and the shared part that replaces a missing one; its code,
    dorothy-yao/drfuse, has no licence, and nothing of it is used. The two errors are ours:
    there, a predictor reads the parts, here objectives read embeddings. Wang et al.,
    "DisentangledSSL", ICLR 2025, https://arxiv.org/abs/2410.23996, learns such parts by contrast.

    Args:
        modalities: the number of modalities.
        dim: the width of the embeddings.
    """

    def __init__(self, modalities: int, dim: int):
        super().__init__(modalities, dim)
        self.shared, self.specific, self.restore = (
            nn.ModuleList(nn.Linear(dim, dim) for _ in range(modalities)) for _ in range(3)
        )

    def fill(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample modality dim"]:
        """Restore every modality from the shared parts of the others that are available."""
        shared = _mapped(self.shared, scaled_vectors(z))
        return self._restored_from_others(shared, available)

    def extra_losses(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        norms: Sequence[Callable[[Tensor], Tensor]],
    ) -> Mapping[str, Float[Tensor, ""]]:
        """Return the four terms of the class; those that no sample has are left out."""
        if not available.any():
            return {}
        scaled = scaled_vectors(z)
        shared, specific = _mapped(self.shared, scaled), _mapped(self.specific, scaled)
        wanted = scaled.detach()
        cosines = cosine_similarity(shared[available], specific[available], dim=1)
        both = _mapped(self.restore, shared + specific)
        losses = {
            "orthogonal": cosines.abs().mean(),
            "restored": (both - wanted)[available].square().mean(),
        }
        divergences = []
        for a, b in combinations(range(self.modalities), 2):
            pair = available[:, a] & available[:, b]
            if pair.any():
                divergences.append(sigmoid_divergence(shared[pair, a], shared[pair, b]).mean())
        several = available & (available.sum(dim=1, keepdim=True) > 1)
        if divergences:
            found = self._restored_from_others(shared, available)
            losses["shared"] = torch.stack(divergences).mean()
            losses["replaced"] = (found - wanted)[several].square().mean()
        return losses

    def _restored_from_others(
        self, shared: Float[Tensor, "sample modality dim"], available: Tensor
    ) -> Float[Tensor, "sample modality dim"]:
        has = available[:, :, None].to(shared)
        known = torch.where(available[:, :, None], shared, 0.0)
        total, counts = known.sum(dim=1, keepdim=True), has.sum(dim=1, keepdim=True)
        others = (total - known) / (counts - has).clamp(min=1)
        return _mapped(self.restore, others)


def sigmoid_divergence(
    first: Float[Tensor, "sample dim"], second: Float[Tensor, "sample dim"]
) -> Float[Tensor, "sample dim"]:
    """Compute the Jensen-Shannon divergence, in nats, of Bernoulli variables with these log odds.

    Source: Yao et al., "DrFuse", AAAI 2024, https://arxiv.org/abs/2403.06197.
    """
    divergence = torch.zeros_like(first)
    for sign in (1, -1):
        one, other = logsigmoid(sign * first), logsigmoid(sign * second)
        mean = torch.logaddexp(one, other) - log(2)
        divergence = divergence + (one.exp() * (one - mean) + other.exp() * (other - mean)) / 2
    return divergence


def _mapped(
    layers: nn.ModuleList, z: Float[Tensor, "sample modality dim"]
) -> Float[Tensor, "sample modality dim"]:
    """Apply the layer of each modality."""
    every = zip(layers, z.unbind(dim=1), strict=True)
    return torch.stack([layer(vectors) for layer, vectors in every], dim=1)


DISENTANGLED = MissingModalityMethod(
    handler=SharedParts,
    display_name="shared and specific parts",
    description="Restores a missing embedding from what the others share with it.",
    source='Yao et al., "DrFuse", AAAI 2024, https://arxiv.org/abs/2403.06197',
)
"""A missing embedding is restored from the shared parts of those that are there."""
