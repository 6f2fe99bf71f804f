"""MLB: scale the gradient of each encoder, up and down, by how well its modality predicts."""

import math
from collections.abc import Mapping

from clinical_symile.objectives.arguments import at_least, positive, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.training.balance._unimodal_scores import (
    mean_of_rest,
    named_factors,
    require_unimodal_heads,
    scaled_encoders,
)
from clinical_symile.training.balance.base import Balance, Gradients, StepGradients


class MultiLossBalance(Balance):
    """Speed up encoders whose modality predicts worse than the others, and slow down the best.

    The score of a modality is the mean probability that its own head gives to the true class, over
    samples that have it. With r, the mean score of the others divided by its own, the gradient of
    its encoder is multiplied by 1 + (most - 1) tanh(strength (r - 1)) if r > 1, and else by
    1 + tanh(strength (r - 1)). Equal scores change nothing, and neither does a batch in which fewer
    than two modalities have a score.

    Source: Kontras et al., "Improving Multimodal Learning with Multi-Loss Gradient Modulation",
    BMVC 2024, https://arxiv.org/abs/2405.07930. Its code, kkontras/MLB at 357b5ce, has no licence;
    the formula was checked against it, and nothing of it is used.

    Args:
        strength: how fast the factor changes with the ratio.
        most: the largest factor.

    Raises:
        ValueError: an argument is out of range.
    """

    display_name = "MLB"
    description = "Scales the gradient of each encoder, up and down, by how well it predicts alone."
    source = (
        'Kontras et al., "Improving Multimodal Learning with Multi-Loss Gradient Modulation", BMVC '
        "2024, https://arxiv.org/abs/2405.07930"
    )

    def __init__(self, *, strength: float = 0.8, most: float = 2.0):
        refuse(positive(strength=strength), at_least(1, most=most))
        self.strength, self.most = strength, most

    def check(self, objective: Objective) -> None:
        """See `Balance`.

        Raises:
            ValueError: the objective has no heads of single modalities.
        """
        require_unimodal_heads(objective)

    def coefficients(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Return the factor of each modality's encoder."""
        if len(scores) < 2:
            return dict.fromkeys(scores, 1.0)
        found = {}
        for name, score in scores.items():
            bend = math.tanh(self.strength * (mean_of_rest(scores, name) / score - 1))
            found[name] = 1 + (self.most - 1) * bend if bend > 0 else 1 + bend
        return found

    def combine(self, step: StepGradients) -> Gradients:
        """See `Balance`."""
        return scaled_encoders(step, self.coefficients(step.scores))

    def scalars(self, step: StepGradients) -> dict[str, float]:
        """Return the factor of each modality's encoder, by name."""
        return named_factors(self.coefficients(step.scores))
