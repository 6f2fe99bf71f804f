"""Focal CLIP: samples that are found easily count less."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.objectives.arguments import at_least, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.infonce import two_way_losses
from clinical_symile.objectives.pairs import complete_pairs


class FocalClip(Objective):
    """CLIP with the focal loss: -(1 - p)^gamma log p instead of -log p.

    p is the probability of a sample's own partner. With gamma = 0 it is CLIP.

    Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017,
    https://arxiv.org/abs/1708.02002, used contrastively by Kim et al., RO-ViT, CVPR 2023,
    https://arxiv.org/abs/2305.07011.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        gamma: the exponent, at least 0.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: gamma is negative, or no two samples have the same two modalities.
    """

    display_name = "focal CLIP"
    description = "CLIP in which samples that are found easily count less."
    source = (
        'Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, '
        "https://arxiv.org/abs/1708.02002; Kim et al., RO-ViT, CVPR 2023, "
        "https://arxiv.org/abs/2305.07011"
    )

    def __init__(
        self, *, temperature: float = 0.07, gamma: float = 2.0, logit_scale_max: float = 100.0
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(at_least(0, gamma=gamma))
        self.gamma = gamma

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Average both directions of every pair of modalities."""
        scale = self.logit_scale.to(z.dtype)
        losses = []
        for pair in complete_pairs(z, available, objective="a step of focal CLIP"):
            forth, back = two_way_losses(pair.first, pair.second, scale)
            losses.append((focal_loss(-forth, self.gamma) + focal_loss(-back, self.gamma)) / 2)
        return torch.stack(losses).mean()


def focal_loss(log_probabilities: Float[Tensor, " row"], gamma: float) -> Float[Tensor, ""]:
    """Compute the mean of -(1 - p)^gamma log p.

    Args:
        log_probabilities: log p of the right answers, at most 0 but for rounding.
        gamma: the exponent.
    """
    log_p = log_probabilities.clamp(max=0)
    wrong = -torch.expm1(log_p)
    # The slope of x^gamma is infinite at 0 for gamma below 1.
    tiny = torch.finfo(log_p.dtype).tiny
    return -(wrong.clamp(min=tiny) ** gamma * log_p).mean()
