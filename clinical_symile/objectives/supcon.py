"""SupCon: all embeddings of samples with the same labels, or of one subject, are positives."""

import math
from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.objectives.arguments import above, at_least, one_of, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.kernels.scores import Excluded
from clinical_symile.objectives.kernels.soft_targets import Targets, soft_target_losses
from clinical_symile.objectives.logit_adjustment import log_prior
from clinical_symile.objectives.pairs import batch_tokens
from clinical_symile.objectives.slots import FewSamplesError

_BY = ("labels", "subjects")


def supcon_loss(
    z: Float[Tensor, "sample modality dim"],
    available: Bool[Tensor, "sample modality"],
    groups: Float[Tensor, "sample group"],
    logit_scale: Float[Tensor, ""],
    *,
    least_agreement: float = 1.0,
    skip_unpaired: bool = False,
    log_prior: Float[Tensor, " sample"] | None = None,
) -> Float[Tensor, ""]:
    """Compute the mean over embeddings t of -1/|P(t)| Σ_{p ∈ P(t)} log softmax_p(s ⟨z_t, ·⟩).

    The softmax is over all other embeddings of the batch. P(t) are those of the same sample and of
    samples that agree with it.

    Source: Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, equation 2,
    https://arxiv.org/abs/2004.11362.

    Args:
        z: embeddings; zero where unavailable.
        available: True where a sample has the modality.
        groups: columns that are compared; NaN where unknown.
        logit_scale: the multiplier of inner products.
        least_agreement: the share of the columns known of both samples that must be equal.
        skip_unpaired: leave embeddings without a positive out of the mean, instead of counting 0.
        log_prior: what is added to the logit of each sample as a candidate; None for nothing.

    Raises:
        ValueError: fewer than two samples have two modalities.
    """
    tokens = batch_tokens(z, available, objective="a SupCon step")
    compared = [tokens.samples, groups[tokens.samples]]
    anchors = candidates = tokens.z
    if log_prior is not None:
        # s ⟨(z, 1), (z', b / s)⟩ = s ⟨z, z'⟩ + b, so that tiles need no other score.
        added = log_prior[tokens.samples, None] / logit_scale
        anchors = torch.cat([anchors, torch.ones_like(added)], dim=1)
        candidates = torch.cat([candidates, added], dim=1)
    losses, totals = soft_target_losses(
        anchors,
        candidates,
        logit_scale,
        Targets(partial(_log_is_alike, least_agreement), compared, compared),
        excluded=Excluded(tokens.codes, tokens.codes),
    )
    return losses[totals > -math.inf].mean() if skip_unpaired else losses.mean()


class SupCon(Objective):
    """Attract embeddings of samples with the same labels, or of the same subject.

    Every modality of every sample is one embedding. An unknown or uncertain label makes no pair;
    the modalities of one sample always belong together.

    Source: see `supcon_loss`.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        by: "labels", the labels that the task names, or "subjects", which reads no label.
        least_agreement: the share of the labels known of both samples that must be equal.
        skip_unpaired: leave embeddings without a positive out of the mean.
        prior_weight: the weight of the log prior of a candidate's labels in its logit; 1 for logit
            adjustment, 0 for none. See `logit_adjustment`.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: an argument is out of range, fewer than two samples of a batch have two
            modalities, or, by subjects, all samples of a batch are of one subject, or a prior is
            asked for.
    """

    display_name = "SupCon"
    description = "Attracts embeddings of samples with the same labels."
    source = (
        'Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, '
        "https://arxiv.org/abs/2004.11362"
    )
    reads = ("labels",)

    def __init__(
        self,
        *,
        temperature: float = 0.07,
        by: str = "labels",
        least_agreement: float = 1.0,
        skip_unpaired: bool = False,
        prior_weight: float = 0.0,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(
            one_of(_BY, by=by),
            above(0, most=1, least_agreement=least_agreement),
            at_least(0, prior_weight=prior_weight),
        )
        if prior_weight and by != "labels":
            raise ValueError(
                f"prior_weight is {prior_weight} and by '{by}'; expected labels, which alone have "
                'a prior. Set prior_weight to 0, or by to "labels".'
            )
        self.reads = (by,)
        self.prior_weight = prior_weight
        self.least_agreement = least_agreement
        self.skip_unpaired = skip_unpaired

    def informed_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        inputs: ObjectiveInput,
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Compute `supcon_loss` with the labels or the subjects of the batch."""
        groups, prior = self._groups(inputs).to(z.dtype), None
        if self.prior_weight:
            prior = self.prior_weight * log_prior(groups, inputs.positive_shares)
        return supcon_loss(
            z,
            available,
            groups,
            self.logit_scale.to(z.dtype),
            least_agreement=self.least_agreement,
            skip_unpaired=self.skip_unpaired,
            log_prior=prior,
        )

    def _groups(self, inputs: ObjectiveInput) -> Tensor:
        """Return the columns that samples are compared by.

        Raises:
            ValueError: all samples are of one subject.
        """
        if self.reads == ("labels",):
            return torch.where(inputs.labels < 0, torch.nan, inputs.labels)
        # Numbered anew, so that they are exact in any precision.
        subjects, codes = inputs.subjects.unique(return_inverse=True)
        if len(subjects) < 2:
            raise FewSamplesError(
                f"a SupCon step needs samples of at least 2 subjects; this batch of {len(codes)} "
                "has one subject only.",
                "Raise batch_size.",
            )
        return codes[:, None]


def _log_is_alike(
    least_agreement: float,
    left: Sequence[Tensor],
    right: Sequence[Tensor],
    parameters: Sequence[Tensor],
) -> Tensor:
    """Compute 0 for embeddings of one sample or of samples that agree, -inf for others."""
    del parameters
    (samples, groups), (other_samples, other_groups) = left, right
    equal = groups.new_zeros(len(groups), len(other_groups))
    known = torch.zeros_like(equal)
    for column, other in zip(groups.T, other_groups.T, strict=True):
        equal += column[:, None] == other
        known += ~column.isnan()[:, None] & ~other.isnan()
    alike = (known > 0) & (equal >= least_agreement * known - 1e-6)
    own = samples[:, None] == other_samples
    return torch.zeros_like(equal).masked_fill(~(own | alike), -math.inf)
