"""PCME++: classify pairs of Gaussian embeddings as matched or not by their expected distance."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.arguments import at_least, positive, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.gaussians import (
    divergence_from_standard,
    split_gaussian,
    summed_scores,
)
from clinical_symile.objectives.kernels.scores import reduce_scores, squared_distances
from clinical_symile.objectives.loss import Loss, sum_of_terms
from clinical_symile.objectives.pairs import complete_pairs


def pcme_loss(
    first: Float[Tensor, "sample width"],
    second: Float[Tensor, "sample width"],
    distance_scale: Float[Tensor, ""],
    bias: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Compute twice the mean binary cross-entropy of all pairs; equal positions match.

    Args:
        first: means and log variances of one modality.
        second: those of another modality.
        distance_scale: the multiplier of expected distances.
        bias: added to logits.
    """
    left, right = _mean_and_total_variance(first), _mean_and_total_variance(second)
    parameters = [distance_scale, bias]
    unmatched = reduce_scores(
        _softplus_logit, left, right, parameters, only="row_sums"
    ).row_sums.sum()
    (means, variances), (others, other_variances) = left, right
    distances = (means - others).square().sum(dim=1) + variances + other_variances
    positives = (bias - distance_scale * distances).sum()
    return 2 * (unmatched - positives) / len(first) ** 2


def _mean_and_total_variance(z: Tensor) -> list[Tensor]:
    """Return the means, and the sum of the variances of each Gaussian."""
    means, logs = split_gaussian(z)
    return [means, logs.exp().sum(dim=1)]


def _distance_logit(
    left: Sequence[Tensor], right: Sequence[Tensor], parameters: Sequence[Tensor]
) -> Tensor:
    """Compute b - a · expected squared distance."""
    (means, variances), (others, other_variances), (scale, bias) = left, right, parameters
    distances = squared_distances(means, others) + variances[:, None] + other_variances
    return bias - scale * distances


def _softplus_logit(
    left: Sequence[Tensor], right: Sequence[Tensor], parameters: Sequence[Tensor]
) -> Tensor:
    """Compute the loss of each pair if it does not match."""
    return softplus(_distance_logit(left, right, parameters))


class Pcme(Objective):
    """Classify pairs of Gaussian embeddings as matched or not by their expected distance.

    With v the variances, the logit is b - a (‖μ_1 - μ_2‖² + Σ v_1 + Σ v_2) with learned a and b.
    The loss is twice the mean binary cross-entropy over all pairs of a batch, plus the divergence
    of the Gaussians from the standard one.

    Source: Chun, "Improved Probabilistic Image-Text Representations" (PCME++), ICLR 2024,
    https://arxiv.org/abs/2305.18171. Pseudo-positives and mixed samples are left out.

    Args:
        distance_scale: starting value of a.
        bias: starting value of b.
        divergence_weight: the weight of the divergence.

    Raises:
        ValueError: an argument is out of range, or no two samples have the same two modalities.
    """

    display_name = "PCME++"
    description = "Classifies pairs of Gaussian embeddings by their expected distance."
    source = (
        'Chun, "Improved Probabilistic Image-Text Representations", ICLR 2024, '
        "https://arxiv.org/abs/2305.18171"
    )
    spread = True

    def __init__(
        self, *, distance_scale: float = 5.0, bias: float = 5.0, divergence_weight: float = 1e-4
    ):
        super().__init__(temperature=None)
        refuse(
            positive(distance_scale=distance_scale),
            at_least(0, divergence_weight=divergence_weight),
        )
        self.distance_scale = nn.Parameter(torch.tensor(float(distance_scale)))
        self.bias = nn.Parameter(torch.tensor(float(bias)))
        self.divergence_weight = divergence_weight

    def scalars(self) -> dict[str, float]:
        """Return a and b."""
        return {
            "distance_scale": float(self.distance_scale.detach()),
            "bias": float(self.bias.detach()),
        }

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Loss:
        """Average `pcme_loss` over pairs of modalities, and add the divergence."""
        scale, bias = self.distance_scale.to(z.dtype), self.bias.to(z.dtype)
        losses = [
            pcme_loss(pair.first, pair.second, scale, bias)
            for pair in complete_pairs(z, available, objective="a PCME++ step")
        ]
        single = [z[available[:, m], m] for m in range(z.shape[1]) if available[:, m].any()]
        divergence = torch.stack([divergence_from_standard(own) for own in single]).mean()
        return sum_of_terms(
            pairs=torch.stack(losses).mean(), divergence=self.divergence_weight * divergence
        )

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate width"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """Sum the negative expected distances of a candidate and the query's modalities."""
        return summed_scores(query, candidates, target=target, compare=_negative_distance)


def _negative_distance(first: Tensor, second: Tensor) -> Tensor:
    """Compute the negative expected squared distance of every pair."""
    (means, variances), (others, other_variances) = (
        _mean_and_total_variance(side) for side in (first, second)
    )
    squares = (means[:, None] - others).square().sum(dim=2)
    return -(squares + variances[:, None] + other_variances)
