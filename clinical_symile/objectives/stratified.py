"""CLIP with negatives of the same stratum: samples that share labels."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.infonce import clip_loss
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.pairs import complete_pairs, rows_of


class StratifiedClip(Objective):
    """Contrast every pair of modalities with negatives of the sample's own stratum.

    Samples with equal labels form a stratum; uncertain and unknown are values like others. What all
    samples of a stratum share cannot tell negatives apart, so that something else must be learned.
    A sample without another one in its stratum has no negatives and a loss of 0. With one stratum
    this is CLIP.

    Source: the restricted negatives of Zhang et al., "Learning the Unlearned: Mitigating Feature
    Suppression in Contrastive Learning", ECCV 2024, https://arxiv.org/abs/2402.11816, whose
    strata are clusters of an earlier stage. This form was not checked against its text.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: no two samples have the same two modalities.
    """

    display_name = "stratified CLIP"
    description = "CLIP whose negatives are samples with the same labels."
    source = (
        'Zhang et al., "Learning the Unlearned: Mitigating Feature Suppression in Contrastive '
        'Learning", ECCV 2024, https://arxiv.org/abs/2402.11816'
    )
    reads = ("labels",)

    def __init__(self, *, temperature: float = 0.07, logit_scale_max: float = 100.0):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)

    def informed_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        inputs: ObjectiveInput,
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Average CLIP's loss of each stratum over the samples of a pair, then over pairs."""
        codes = strata(inputs.labels)
        losses = []
        for pair in complete_pairs(z, available, objective="a step of stratified CLIP"):
            both = torch.stack([pair.first, pair.second], dim=1)
            total = 0.0 * both.sum()  # of samples without negatives
            own = codes[pair.samples]
            for code in own.unique():
                members = own == code
                count = int(members.sum())
                if count > 1:
                    total = total + count * clip_loss(rows_of(both, members), self.logit_scale)
            losses.append(total / len(both))
        return torch.stack(losses).mean()


def strata(labels: Float[Tensor, "sample label"]) -> Int[Tensor, " sample"]:
    """Return a number for each combination of labels; NaN, unknown, is a value like others."""
    return labels.nan_to_num(nan=-2.0).unique(dim=0, return_inverse=True)[1]
