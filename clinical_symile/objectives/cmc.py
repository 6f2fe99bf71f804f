"""CMC with a core modality: contrast one modality with each of the others."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.infonce import clip_loss
from clinical_symile.objectives.pairs import complete_pairs


class Cmc(Objective):
    """Contrast a core modality with each other one; the others never meet.

    A sample takes part in a pair if it has both modalities; one without the core teaches nothing.
    Contrasting every pair instead is `clip`.

    Source: Tian et al., "Contrastive Multiview Coding", ECCV 2020,
    https://arxiv.org/abs/1906.05849, the core view of section 3.3, with negatives of the batch
    instead of a memory bank.

    Args:
        core: the name of the core modality; None for the first one of the task.
        temperature: starting value of 1 / logit_scale, which is then learned.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: `core` is no modality, or no two samples have it with the same other one.
    """

    display_name = "CMC, core view"
    description = "Contrasts one core modality with each of the others."
    source = (
        'Tian et al., "Contrastive Multiview Coding", ECCV 2020, https://arxiv.org/abs/1906.05849'
    )

    def __init__(
        self, *, core: str | None = None, temperature: float = 0.07, logit_scale_max: float = 100.0
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        self.core = core
        self.column = 0

    def connect(
        self, *, modalities: tuple[str, ...], dim: int, norm: str, generator: torch.Generator
    ) -> None:
        """Find the column of the core modality."""
        super().connect(modalities=modalities, dim=dim, norm=norm, generator=generator)
        core = modalities[0] if self.core is None else self.core
        if core not in modalities:
            raise ValueError(f"core is '{core}'; expected one of {', '.join(modalities)}.")
        self.column = modalities.index(core)

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Average CLIP's loss over the pairs with the core modality."""
        losses = [
            clip_loss(torch.stack([pair.first, pair.second], dim=1), self.logit_scale)
            for pair in complete_pairs(z, available, objective="a CMC step", core=self.column)
        ]
        return torch.stack(losses).mean()
