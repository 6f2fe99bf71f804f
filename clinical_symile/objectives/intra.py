"""CLIP with contrast inside each modality: a recording against itself with a part hidden."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.data.loader import Batch
from clinical_symile.objectives.arguments import at_least, between_0_and_1, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.infonce import clip_loss, one_way_losses
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.loss import Loss, sum_of_terms
from clinical_symile.objectives.pairs import rows_of
from clinical_symile.objectives.slots import filled_slots
from clinical_symile.objectives.views import View, partly_hidden


class IntraClip(Objective):
    """Contrast every pair of modalities, and each modality with itself.

    The batch is encoded a second time with a stretch of every input hidden. Columns of an image and
    time of a signal are zero, analytes of labs look like those that were not measured. To CLIP's
    loss comes the cross-entropy of finding a recording's own second embedding, which has no
    gradient, averaged over modalities that two samples have. Substitutes of missing recordings take
    part in CLIP's loss only.

    Source: Yang et al., "Vision-Language Pre-Training with Triple Contrastive Learning", CVPR 2022,
    https://arxiv.org/abs/2202.10401. Without its contrast of local parts and its momentum encoder;
    the hidden stretch in place of its augmentations is this project's.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        weight: weight of the contrast inside modalities; 0 is CLIP.
        hidden: the share of an input that its second view hides.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: an argument is out of range, or no two samples have the same two modalities.
    """

    display_name = "CLIP with intra-modal contrast"
    description = "Contrasts pairs of modalities, and each recording with itself, partly hidden."
    source = (
        'Yang et al., "Vision-Language Pre-Training with Triple Contrastive Learning", CVPR 2022, '
        "https://arxiv.org/abs/2202.10401"
    )

    def __init__(
        self,
        *,
        temperature: float = 0.07,
        weight: float = 1.0,
        hidden: float = 0.25,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(at_least(0, weight=weight), between_0_and_1(hidden=hidden))
        self.weight, self.hidden = weight, hidden

    def views(self, batch: Batch, *, generator: torch.Generator, progress: float) -> Sequence[View]:
        """Return the batch, and with a weight the batch with a stretch of each input hidden."""
        if not self.weight:
            return [View(batch)]
        second = partly_hidden(batch, self.hidden, generator=generator)
        return [View(batch), View(second, needs_gradient=False)]

    def informed_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        inputs: ObjectiveInput,
        *,
        generator: torch.Generator | None,
    ) -> Loss:
        """Add CLIP's loss and the mean over modalities of the contrast inside."""
        terms = {"across": clip_loss(z, self.logit_scale, available=available)}
        for view in inputs.further:
            second = filled_slots(view.embeddings)
            recorded = inputs.embeddings.available  # a substitute has no second view of its own
            columns = zip(z.unbind(dim=1), second.unbind(dim=1), recorded.T, strict=True)
            scale = self.logit_scale.to(z.dtype)
            losses = [
                one_way_losses(rows_of(own, has), rows_of(other, has).detach(), scale).mean()
                for own, other, has in columns
                if has.sum() >= 2
            ]
            if losses:
                terms["within"] = self.weight * torch.stack(losses).mean()
        return sum_of_terms(**terms)
