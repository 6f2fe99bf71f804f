"""CACR: attract far positives most, repel near negatives most."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.objectives.arguments import at_least, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.kernels.scores import Excluded, reduce_scores, squared_distances
from clinical_symile.objectives.loss import Loss, sum_of_terms
from clinical_symile.objectives.pairs import batch_tokens

_EPSILON = 1e-12  # inside the logarithm of a distance


class Cacr(Objective):
    """Contrast positives with one another and negatives with one another.

    For an embedding z of a sample, attraction is the mean of ‖z - z_v‖² over the sample's other
    modalities v, weighted by softmax(τ₊ ‖z - z_v‖²). Repulsion is the mean of ‖z - z_j‖² over all
    embeddings of other samples, weighted by softmax(-τ₋ ‖z - z_j‖²). The loss is the mean of
    attraction minus repulsion over embeddings with a partner.

    Source: Zheng et al., "Contrastive Attraction and Contrastive Repulsion for Representation
    Learning", TMLR 2023, https://arxiv.org/abs/2105.03746. Weights have gradients, as in the
    authors' code.

    Args:
        attraction: τ₊, at least 0.
        repulsion: τ₋, at least 0.

    Raises:
        ValueError: an argument is negative, or fewer than two samples have two modalities.
    """

    display_name = "CACR"
    description = "Attracts far positives most and repels near negatives most."
    source = (
        'Zheng et al., "Contrastive Attraction and Contrastive Repulsion for Representation '
        'Learning", TMLR 2023, https://arxiv.org/abs/2105.03746'
    )
    on_sphere = True

    def __init__(self, *, attraction: float = 1.0, repulsion: float = 2.0):
        super().__init__(temperature=None)
        refuse(at_least(0, attraction=attraction, repulsion=repulsion))
        self.attraction, self.repulsion = attraction, repulsion

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Loss:
        """See the class."""
        attraction, repulsion = self.terms(z, available)
        return sum_of_terms(attraction=attraction, repulsion=-repulsion)

    def terms(
        self, z: Float[Tensor, "sample modality dim"], available: Bool[Tensor, "sample modality"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Compute mean attraction and mean repulsion."""
        tokens = batch_tokens(z, available, objective="a CACR step")
        partnered = tokens.counts[tokens.samples] >= 2
        within = (z[:, :, None] - z[:, None]).square().sum(dim=3)
        both = available[:, :, None] & available[:, None]
        both = both & ~torch.eye(z.shape[1], dtype=torch.bool, device=z.device)
        logits = (self.attraction * within).masked_fill(~both, -torch.inf)
        own = (tokens.samples[partnered], tokens.modalities[partnered])
        attraction = (logits[own].softmax(dim=1) * within[own]).sum(dim=1).mean()
        # A weighted mean is a ratio of two sums of exponentials.
        factor = z.new_tensor(self.repulsion)
        excluded = Excluded(tokens.samples[partnered], tokens.samples)
        side = tokens.z[partnered]
        weighted, weights = (
            reduce_scores(score, [side], [tokens.z], [factor], excluded=excluded, only="rows").rows
            for score in (_weighted_distance, _distance_weight)
        )
        return attraction, (weighted - weights).exp().mean()


def _distance_weight(left, right, parameters):
    """Return -τ ‖z - z_j‖²."""
    return -parameters[0] * squared_distances(left[0], right[0])


def _weighted_distance(left, right, parameters):
    """Return -τ ‖z - z_j‖² + log ‖z - z_j‖²."""
    squares = squared_distances(left[0], right[0])
    return -parameters[0] * squares + (squares + _EPSILON).log()
