"""M3Co: a measurement mixed of two samples aligns with another modality of both."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clinical_symile.data.loader import Batch
from clinical_symile.objectives.arguments import from_0_to_1, positive, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.infonce import two_way_soft_loss
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.kernels.scores import inner_product_score, reduce_scores
from clinical_symile.objectives.kernels.soft_targets import product_targets
from clinical_symile.objectives.pairs import complete_pairs
from clinical_symile.objectives.slots import filled_slots
from clinical_symile.objectives.views import View, draw_mixing, mixed_inputs


class M3Co(Objective):
    """Align a measurement that is mixed of two samples with another modality of both.

    The pairs of modalities form a cycle: the first with the second, and so on, the last with the
    first. The first of a pair is mixed: λ x_i + (1 - λ) x_j, before it is encoded. Its target is λ
    at sample i and 1 - λ at sample j. The second of the pair is never mixed. j has the same
    modalities as i. From `soft_from` on nothing is mixed, and the target of sample i is
    softmax(⟨y_i, y_k⟩ / soft_temperature), with y the second of the pair, without gradient.

    Source: Kumar et al., "M3CoL: Harnessing Shared Relations via Multimodal Mixup Contrastive
    Learning for Multimodal Classification", 2024, https://arxiv.org/abs/2409.17777. There it is a
    tenth of a loss with classifiers. Here a sample mixed with itself keeps its whole target.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        mixed_share: the share of samples that are mixed, drawn for each modality.
        concentration: both parameters of the beta distribution of λ.
        soft_from: the share of the way from the first step to the last at which targets become
            soft; with 1 those of the last step alone.
        soft_temperature: temperature of the soft targets.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: an argument is out of range, or no two samples have the same two modalities.
    """

    display_name = "M3Co"
    description = "Aligns a measurement that is mixed of two samples with both of them."
    source = 'Kumar et al., "M3CoL", 2024, https://arxiv.org/abs/2409.17777'

    def __init__(
        self,
        *,
        temperature: float = 0.1,
        mixed_share: float = 0.5,
        concentration: float = 0.15,
        soft_from: float = 0.33,
        soft_temperature: float = 0.125,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(
            from_0_to_1(mixed_share=mixed_share, soft_from=soft_from),
            positive(concentration=concentration, soft_temperature=soft_temperature),
        )
        self.mixed_share, self.concentration = mixed_share, concentration
        self.soft_from, self.soft_temperature = soft_from, soft_temperature

    def views(self, batch: Batch, *, generator: torch.Generator, progress: float) -> Sequence[View]:
        """Return the batch, and before `soft_from` the batch with mixed inputs."""
        if progress >= self.soft_from:
            return [View(batch)]
        mixing = draw_mixing(
            batch.available,
            mixed_share=self.mixed_share,
            concentration=self.concentration,
            generator=generator,
        )
        inputs = {
            name: mixed_inputs(batch.inputs[name], mixing.partners[:, m], mixing.shares[:, m])
            for m, name in enumerate(batch.modalities)
        }
        return [View(batch), View(replace(batch, inputs=inputs), mixing)]

    def informed_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        inputs: ObjectiveInput,
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Average over the cycle of pairs."""
        scale, losses = self.logit_scale.to(z.dtype), []
        pairs = complete_pairs(z, available, objective="an M3Co step", cycle=True)
        if not inputs.further:
            for pair in pairs:
                targets = product_targets(pair.second, pair.second, 1 / self.soft_temperature)
                losses.append(two_way_soft_loss(pair.first, pair.second, scale, targets, targets))
            return torch.stack(losses).mean()
        (view,) = inputs.further
        assert view.mixing is not None
        mixed = filled_slots(view.embeddings)
        for pair in pairs:
            places = torch.zeros_like(view.mixing.partners[:, 0])
            places[pair.samples] = pair.codes
            partners = places[view.mixing.partners[pair.samples, pair.a]]
            shares = view.mixing.shares[pair.samples, pair.a].to(z.dtype)
            first = mixed[pair.samples, pair.a]
            losses.append(mixed_loss(first, pair.second, scale, partners, shares))
        return torch.stack(losses).mean()


def mixed_loss(
    mixed: Float[Tensor, "sample dim"],
    plain: Float[Tensor, "sample dim"],
    logit_scale: Float[Tensor, ""],
    partners: Int[Tensor, " sample"],
    shares: Float[Tensor, " sample"],
) -> Float[Tensor, ""]:
    """Compute the mean of both directions' cross-entropies with the targets of mixed samples.

    Row i has the target share_i at i and 1 - share_i at its partner; both add up where a sample is
    its own partner. The other direction has the transposed targets, whose rows need not sum to 1.

    Args:
        mixed: embeddings of mixed inputs.
        plain: embeddings of the other modality, of the same samples.
        logit_scale: the multiplier of inner products.
        partners: the row of the sample that each was mixed with.
        shares: the share of each sample's own input.
    """
    found = reduce_scores(inner_product_score, [mixed], [plain], [logit_scale])
    mass = shares.index_add(0, partners, 1 - shares)
    own, other = (mixed * plain).sum(dim=1), (mixed * plain[partners]).sum(dim=1)
    aligned = logit_scale * (shares * own + (1 - shares) * other)
    return ((found.rows + mass * found.columns) / 2 - aligned).mean()
