"""CLIP with momentum distillation: part of each target comes from a slow copy of the encoders."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.objectives.arguments import from_0_to_1, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.infonce import two_way_losses, two_way_soft_loss
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.kernels.soft_targets import product_targets
from clinical_symile.objectives.loss import Loss, sum_of_terms
from clinical_symile.objectives.pairs import complete_pairs


class DistilledClip(Objective):
    """CLIP whose targets are in part the probabilities of a slowly following teacher.

    The target of sample i is (1 - share) at its own partner and share · softmax_j(s ⟨x'_i, y'_j⟩),
    with x' and y' the teacher's embeddings, without gradient. With share = 0 it is CLIP.

    Source: Li et al., "Align before Fuse", NeurIPS 2021, https://arxiv.org/abs/2107.07651,
    without its fusion, matching and language losses and its queue. This form was not checked
    against its text.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        share: the part of the target that the teacher gives, from 0 to 1.
        momentum: the share that the teacher keeps of its weights in each step, from 0 to 1.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: an argument is out of range, or no two samples have the same two modalities.
    """

    display_name = "distilled CLIP"
    description = "CLIP whose targets are in part the answers of a slowly following teacher."
    source = 'Li et al., "Align before Fuse", NeurIPS 2021, https://arxiv.org/abs/2107.07651'

    def __init__(
        self,
        *,
        temperature: float = 0.07,
        share: float = 0.4,
        momentum: float = 0.995,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(from_0_to_1(share=share, momentum=momentum))
        self.share, self.momentum = share, momentum

    def informed_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        inputs: ObjectiveInput,
        *,
        generator: torch.Generator | None,
    ) -> Loss:
        """Average both directions of every pair of modalities."""
        taught, scale = inputs.taught(), self.logit_scale.to(z.dtype)
        own, distilled = [], []
        for pair in complete_pairs(z, available, objective="a step of distilled CLIP"):
            own.append(torch.cat(two_way_losses(pair.first, pair.second, scale)).mean())
            if self.share:
                of_teacher = (taught[pair.samples, pair.a], taught[pair.samples, pair.b])
                distilled.append(teacher_loss((pair.first, pair.second), of_teacher, scale))
        if not self.share:
            return Loss(torch.stack(own).mean())
        return sum_of_terms(
            own=(1 - self.share) * torch.stack(own).mean(),
            teacher=self.share * torch.stack(distilled).mean(),
        )


def teacher_loss(
    pair: tuple[Float[Tensor, "sample dim"], Float[Tensor, "sample dim"]],
    taught: tuple[Float[Tensor, "sample dim"], Float[Tensor, "sample dim"]],
    logit_scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Compute the mean of both directions' cross-entropies with the teacher's probabilities.

    Args:
        pair: embeddings of two modalities of the same samples.
        taught: the teacher's embeddings of the same.
        logit_scale: the multiplier of inner products, also of the teacher's.
    """
    targets = product_targets(*taught, logit_scale)
    return two_way_soft_loss(*pair, logit_scale, targets, targets.transposed())
