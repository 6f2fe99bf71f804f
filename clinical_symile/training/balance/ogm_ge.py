"""OGM-GE: slow down the encoder of the modality that predicts best."""

import math
from collections.abc import Mapping

import torch

from clinical_symile.objectives.arguments import positive, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.training.balance._unimodal_scores import (
    mean_of_rest,
    named_factors,
    require_unimodal_heads,
    scaled_encoders,
)
from clinical_symile.training.balance.base import Balance, Gradients, StepGradients


class OgmGe(Balance):
    """Slow down the encoder of the modality that predicts best, and add noise to all encoders.

    The score of a modality is the mean probability that its own head gives to the true class. With
    r, the best score divided by the mean of the others, the gradient of that encoder is multiplied
    by 1 - tanh(strength r) if r > 1. With `noise`, the gradient of each weight matrix of an encoder
    gets normal noise with the standard deviation of its own numbers; a single number has none.

    Source: Peng et al., "Balanced Multimodal Learning via On-the-fly Gradient Modulation", CVPR
    2022, https://arxiv.org/abs/2203.15332, for two modalities, from a summary. The mean over the
    other modalities is this project's, and so is noise for every matrix; there convolutions have
    it.

    Args:
        strength: how fast the factor falls with the ratio.
        noise: add noise.

    Raises:
        ValueError: `strength` is not positive.
    """

    display_name = "OGM-GE"
    description = "Slows down the encoder of the modality that predicts best, and adds noise."
    source = (
        'Peng et al., "Balanced Multimodal Learning via On-the-fly Gradient Modulation", CVPR '
        "2022, https://arxiv.org/abs/2203.15332"
    )

    def __init__(self, *, strength: float = 0.1, noise: bool = True):
        refuse(positive(strength=strength))
        self.strength, self.noise = strength, noise

    def check(self, objective: Objective) -> None:
        """See `Balance`.

        Raises:
            ValueError: the objective has no heads of single modalities.
        """
        require_unimodal_heads(objective)

    def coefficients(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Return the factor of each modality's encoder."""
        found = dict.fromkeys(scores, 1.0)
        if len(scores) < 2:
            return found
        best = max(scores, key=lambda name: scores[name])
        ratio = scores[best] / mean_of_rest(scores, best)
        if ratio > 1:
            found[best] = 1 - math.tanh(self.strength * ratio)
        return found

    def combine(self, step: StepGradients) -> Gradients:
        """See `Balance`."""
        gradients = scaled_encoders(step, self.coefficients(step.scores))
        if not self.noise:
            return gradients
        found: Gradients = []
        for gradient, owner in zip(gradients, step.owners, strict=True):
            if gradient is None or owner is None or gradient.ndim < 2 or gradient.numel() < 2:
                found.append(gradient)
                continue
            drawn = torch.randn(gradient.shape, generator=step.generator)
            found.append(gradient + gradient.std() * drawn.to(gradient))
        return found

    def scalars(self, step: StepGradients) -> dict[str, float]:
        """Return the factor of each modality's encoder, by name."""
        return named_factors(self.coefficients(step.scores))
