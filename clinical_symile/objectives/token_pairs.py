"""NT-Xent over pairs of modalities with other kernels and temperatures: kernel mixtures, MACL."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.objectives.arguments import above, from_0_to_1, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.infonce import nt_xent_losses
from clinical_symile.objectives.kernels.scores import (
    Excluded,
    reduce_scores,
    squared_distances,
)
from clinical_symile.objectives.pairs import Pair, complete_pairs

_LEAST_WRONG = 1e-8  # added to 1 - P, so that weights stay finite
_EPSILON = 1e-24  # added to squared distances under a root: its slope is infinite at 0


class KernelMixture(Objective):
    """Contrast pairs of modalities by a mixture of exponential kernels.

    For each embedding of a pair of modalities, all other embeddings of both are candidates. The
    logit is -‖x - y‖^power / τ; the loss is λ times the cross-entropy with this power plus 1 - λ
    times that with 2. With power = 2 and unit vectors it is NT-Xent at temperature τ / 2.

    Source: Tan et al., "Contrastive Learning Is Spectral Clustering on Similarity Graph", ICLR
    2024, https://arxiv.org/abs/2303.15103.

    Args:
        power: the power of distances, above 0 and at most 2.
        share: λ, between 0 and 1.
        temperature: starting value of τ, which is then learned as 1 / logit_scale.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: an argument is out of range, or no two samples have the same two modalities.
    """

    display_name = "kernel InfoNCE"
    description = "Contrasts pairs of modalities by a mixture of exponential kernels."
    source = (
        'Tan et al., "Contrastive Learning Is Spectral Clustering on Similarity Graph", ICLR 2024, '
        "https://arxiv.org/abs/2303.15103"
    )

    def __init__(
        self,
        *,
        power: float = 1.0,
        share: float = 0.5,
        temperature: float = 0.2,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(above(0, most=2, power=power), from_0_to_1(share=share))
        self.power, self.share = power, share

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Average over pairs of modalities."""
        scale = self.logit_scale.to(z.dtype)
        losses = []
        for pair in complete_pairs(z, available, objective="a step of kernel InfoNCE"):
            terms = [(self.share, self.power), (1 - self.share, 2.0)]
            losses.append(
                torch.stack(
                    [
                        weight * _kernel_loss(pair, scale, z.new_tensor(power))
                        for weight, power in terms
                        if weight
                    ]
                ).sum()
            )
        return torch.stack(losses).mean()


class Macl(Objective):
    """Contrast pairs of modalities with a temperature that follows their alignment.

    For each pair A = mean ⟨x_i, y_i⟩, without gradient, gives the temperature
    τ (1 + slope (A - offset)). With P the probability of the partner among all other embeddings of
    the pair, the loss is the mean of -log P / (1 - P), the denominator without gradient.

    Source: Huang et al., "Model-Aware Contrastive Learning: Towards Escaping the Dilemmas", ICML
    2023, https://arxiv.org/abs/2207.07874.

    Args:
        temperature: starting value of τ, which is then learned as 1 / logit_scale.
        slope: at least 0 and below 1 / (1 + |offset|), so that temperatures stay positive.
        offset: the alignment at which the temperature is τ.
        logit_scale_max: limit of the learned scale, before it follows alignment.

    Raises:
        ValueError: the temperature could become 0, or no two samples have the same two modalities.
    """

    display_name = "MACL"
    description = "Contrasts pairs of modalities; the temperature follows their alignment."
    source = (
        'Huang et al., "Model-Aware Contrastive Learning: Towards Escaping the Dilemmas", ICML '
        "2023, https://arxiv.org/abs/2207.07874"
    )
    on_sphere = True

    def __init__(
        self,
        *,
        temperature: float = 0.1,
        slope: float = 0.5,
        offset: float = 0.0,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        if not 0 <= slope * (1 + abs(offset)) < 1:
            raise ValueError(
                f"slope is {slope} with offset {offset}: a temperature could be 0 or less. "
                "Expected slope of at least 0 and below 1 / (1 + |offset|)."
            )
        self.slope, self.offset = slope, offset

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Average over pairs of modalities."""
        losses = []
        for pair in complete_pairs(z, available, objective="a MACL step"):
            aligned = (pair.first * pair.second).sum(dim=1).detach().mean()
            scale = self.logit_scale.to(z.dtype) / (1 + self.slope * (aligned - self.offset))
            losses_of_tokens = nt_xent_losses(pair.first, pair.second, scale)
            wrong = -torch.expm1(-losses_of_tokens.detach())
            losses.append((losses_of_tokens / (wrong + _LEAST_WRONG)).mean())
        return torch.stack(losses).mean()


def _kernel_loss(pair: Pair, scale: Tensor, power: Tensor) -> Float[Tensor, ""]:
    """Compute the cross-entropy of finding each token's partner by -scale ‖x - y‖^power."""
    tokens = torch.cat([pair.first, pair.second])
    codes = torch.arange(len(tokens), device=tokens.device)
    excluded = Excluded(codes, codes)
    found = reduce_scores(
        _distance_power, [tokens], [tokens], [scale, power], excluded=excluded, only="rows"
    ).rows
    squares = (pair.first - pair.second).square().sum(dim=1)
    own = -scale * (squares + _EPSILON) ** (power / 2)
    return (found - torch.cat([own, own])).mean()


def _distance_power(left, right, parameters):
    """Return -scale · ‖x - y‖^power."""
    scale, power = parameters
    return -scale * (squared_distances(left[0], right[0]) + _EPSILON) ** (power / 2)
