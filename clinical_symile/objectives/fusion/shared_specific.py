"""ShaSpec: fuse parts that modalities share and parts of each alone."""

from collections.abc import Mapping
from itertools import combinations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from clinical_symile.objectives.arguments import at_least, refuse
from clinical_symile.objectives.fusion.base import ModalityFusion
from clinical_symile.objectives.starting_weights import starting_weights


class SharedSpecificFusion(ModalityFusion):
    """The mean over all modalities of their shared part, completed by a part of each alone.

    One linear map gives the shared part of every modality's vector, and a linear map of each
    modality its specific part. An available modality contributes its shared part plus a linear
    function of both parts. A missing one contributes the mean of the others' shared parts. Two
    further losses make the shared parts of a sample alike, and let the specific part tell which
    modality it is of.

    Source: Wang et al., "Multi-modal Learning with Missing Modality via Shared-Specific Feature
    Modelling", CVPR 2023, https://arxiv.org/abs/2307.14126; its code, billhhh/ShaSpec at 081fe7a,
    has no licence; it was read, and nothing of it is used. DrFuse (Yao et al., AAAI 2024,
    https://arxiv.org/abs/2403.06197) replaces the shared part of a missing modality in the same
    way. The code takes the shared part of the first available modality; the paper's mean is taken
    here. The weights of the two losses, and the distance as a mean of absolute differences, are
    those of the code. There, contributions are put side by side for a decoder; here they are
    averaged, so that the output has the width of a vector, and each pair of modalities is compared.

    Args:
        modalities: the names of the modalities.
        dim: the width of a vector.
        generator: the source of starting weights.
        specific: False for shared parts alone.
        alignment: the weight of the distance of shared parts.
        domain: the weight of the log loss of telling modalities by their specific parts.

    Raises:
        ValueError: a weight is below 0.
    """

    display_name = "shared and specific parts (ShaSpec)"
    description = (
        "Parts that modalities share, which replace missing ones, and parts of each alone."
    )
    source = (
        'Wang et al., "Multi-modal Learning with Missing Modality via Shared-Specific Feature '
        'Modelling", CVPR 2023, https://arxiv.org/abs/2307.14126'
    )

    def __init__(
        self,
        modalities: tuple[str, ...],
        dim: int,
        generator: torch.Generator,
        *,
        specific: bool = True,
        alignment: float = 0.1,
        domain: float = 0.02,
    ):
        super().__init__(modalities, dim)
        refuse(at_least(0, alignment=alignment, domain=domain))
        self.alignment, self.domain = alignment, domain
        self.specific: nn.ModuleList | None = None
        with starting_weights(generator):
            self.shared = nn.Linear(dim, dim)
            if specific:
                self.specific = nn.ModuleList(nn.Linear(dim, dim) for _ in modalities)
                self.compose = nn.Linear(2 * dim, dim)
                self.tell = nn.Linear(dim, len(modalities))

    def fuse(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample dim"]:
        """See `ModalityFusion`."""
        has = available[:, :, None]
        shared = self.shared(z)
        known = torch.where(has, shared, 0.0).sum(dim=1, keepdim=True)
        of_others = known / available.sum(dim=1)[:, None, None]
        own = shared
        if self.specific is not None:
            own = own + self.compose(torch.cat([shared, self._specific_parts(z)], dim=2))
        return torch.where(has, own, of_others).mean(dim=1)

    def extra_losses(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
    ) -> Mapping[str, Float[Tensor, ""]]:
        """Return the distance of shared parts and the log loss of telling modalities apart."""
        losses, shared, distances = {}, self.shared(z), []
        for a, b in combinations(range(len(self.modalities)), 2):
            both = available[:, a] & available[:, b]
            if both.any():
                distances.append(functional.l1_loss(shared[both, a], shared[both, b]))
        if distances and self.alignment:
            losses["alignment"] = self.alignment * torch.stack(distances).mean()
        if self.specific is not None and self.domain:
            guessed = self.tell(self._specific_parts(z))[available]
            which = torch.arange(len(self.modalities), device=z.device).expand(len(z), -1)
            losses["domain"] = self.domain * functional.cross_entropy(guessed, which[available])
        return losses

    def _specific_parts(
        self, z: Float[Tensor, "sample modality dim"]
    ) -> Float[Tensor, "sample modality dim"]:
        assert self.specific is not None
        every = zip(self.specific, z.unbind(dim=1), strict=True)
        return torch.stack([layer(vectors) for layer, vectors in every], dim=1)
