"""CLIP with momentum distillation: part of each target comes from a slow copy of the encoders."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.objectives.base import Objective, prepare_slots
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.kernels.scores import inner_product_score, reduce_scores
from clinical_symile.objectives.kernels.soft_targets import product_targets, soft_target_losses
from clinical_symile.objectives.pairs import complete_pairs


class DistilledClip(Objective):
    """CLIP whose targets are in part the probabilities of a slowly following teacher.

    The target of sample i is (1 - share) at its own partner and share · softmax_j(s ⟨x'_i, y'_j⟩),
    with x' and y' the teacher's embeddings, without gradient. With share = 0 it is CLIP.

    Source: Li et al., "Align before Fuse", NeurIPS 2021, https://arxiv.org/abs/2107.07651. From
    knowledge of the paper, which was not read again; without its fusion, matching and language
    losses and without its queue.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        share: of the target that the teacher gives, from 0 to 1.
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
        problems = [
            f"{name} is {value}; expected a number from 0 to 1."
            for name, value in (("share", share), ("momentum", momentum))
            if not 0 <= value <= 1
        ]
        if problems:
            raise ValueError(" ".join(problems))
        self.share, self.momentum = share, momentum

    def informed_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        inputs: ObjectiveInput,
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Average both directions of every pair of modalities."""
        assert inputs.teacher is not None
        taught, _ = prepare_slots(*inputs.teacher.with_substitutes())
        scale = self.logit_scale.to(z.dtype)
        losses = [
            distilled_loss(
                (pair.first, pair.second),
                (taught[pair.samples, pair.a], taught[pair.samples, pair.b]),
                scale,
                share=self.share,
            )
            for pair in complete_pairs(z, available, objective="a step of distilled CLIP")
        ]
        return torch.stack(losses).mean()


def distilled_loss(
    pair: tuple[Float[Tensor, "sample dim"], Float[Tensor, "sample dim"]],
    taught: tuple[Float[Tensor, "sample dim"], Float[Tensor, "sample dim"]],
    logit_scale: Float[Tensor, ""],
    *,
    share: float,
) -> Float[Tensor, ""]:
    """Compute the mean of both directions' cross-entropies with the teacher's share of targets.

    Args:
        pair: embeddings of two modalities of the same samples.
        taught: the teacher's embeddings of the same.
        logit_scale: the multiplier of inner products, also of the teacher's.
        share: of the target that the teacher gives.
    """
    first, second = pair
    found = reduce_scores(inner_product_score, [first], [second], [logit_scale])
    own = logit_scale * (first * second).sum(dim=1)
    clip = ((found.rows + found.columns) / 2 - own).mean()
    if not share:
        return clip
    targets = product_targets(*taught, logit_scale)
    forth, _ = soft_target_losses(first, second, logit_scale, targets)
    back, _ = soft_target_losses(second, first, logit_scale, targets.transposed())
    return (1 - share) * clip + share * (forth + back).mean() / 2
