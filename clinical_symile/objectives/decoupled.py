"""DCL: InfoNCE whose denominator leaves the positive out."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.objectives.arguments import positive, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.kernels.scores import Excluded, inner_product_score, reduce_scores
from clinical_symile.objectives.pairs import complete_pairs


def dcl_loss(
    first: Float[Tensor, "sample dim"],
    second: Float[Tensor, "sample dim"],
    logit_scale: Float[Tensor, ""],
    *,
    within: bool = True,
    weight_temperature: float | None = None,
) -> Float[Tensor, ""]:
    """Compute the mean of -w_i s ⟨x_i, y_i⟩ + log Σ exp(s ⟨x_i, ·⟩) over negatives.

    Negatives of sample i are y_j and, with `within`, x_j of all other samples j. The positive is in
    no denominator, so that its gradient does not vanish when negatives are easy; the loss may be
    negative.

    Source: Yeh et al., "Decoupled Contrastive Learning", ECCV 2022,
    https://arxiv.org/abs/2110.06848.

    Args:
        first: embeddings of the anchors.
        second: embeddings of their partners.
        logit_scale: the multiplier of inner products.
        within: also contrast with other samples of the same modality.
        weight_temperature: temperature of DCLW, whose positives have weights
            2 - n softmax_i(⟨x_i, y_i⟩ / weight_temperature),
            without gradient; None for weights of 1.
    """
    codes = torch.arange(len(first), device=first.device)
    others = torch.cat([second, first]) if within else second
    denominators = reduce_scores(
        inner_product_score,
        [first],
        [others],
        [logit_scale],
        excluded=Excluded(codes, torch.cat([codes, codes]) if within else codes),
        only="rows",
    ).rows
    positives = (first * second).sum(dim=1)
    weights = torch.ones_like(positives)
    if weight_temperature is not None:
        weights = 2 - len(first) * (positives.detach() / weight_temperature).softmax(dim=0)
    return (denominators - weights * logit_scale * positives).mean()


class Dcl(Objective):
    """Contrast every ordered pair of modalities, without the positive in the denominator.

    A pair uses the samples that have both of its modalities; pairs have equal weights.

    Source: see `dcl_loss`.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        within: also contrast with other samples of the same modality.
        weight_temperature: temperature of the weights of DCLW; None for plain DCL.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: no two samples have the same two modalities, or the
            weight temperature is not positive.
    """

    display_name = "DCL"
    description = "Contrasts pairs of modalities; no positive in the denominator."
    source = (
        'Yeh et al., "Decoupled Contrastive Learning", ECCV 2022, https://arxiv.org/abs/2110.06848'
    )

    def __init__(
        self,
        *,
        temperature: float = 0.1,
        within: bool = True,
        weight_temperature: float | None = None,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        if weight_temperature is not None:
            refuse(positive(weight_temperature=weight_temperature))
        self.within = within
        self.weight_temperature = weight_temperature

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Average `dcl_loss` over ordered pairs of modalities."""
        scale = self.logit_scale.to(z.dtype)
        pairs = complete_pairs(z, available, objective="a DCL step", ordered=True)
        losses = [
            dcl_loss(
                pair.first,
                pair.second,
                scale,
                within=self.within,
                weight_temperature=self.weight_temperature,
            )
            for pair in pairs
        ]
        return torch.stack(losses).mean()
