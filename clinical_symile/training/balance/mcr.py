"""MCR: modalities as players, each of which raises how much it changes the prediction."""

from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.outcome import Supervised
from clinical_symile.training.balance.base import Balance, Gradients, StepGradients, summed

_EFFECT = "effect_"


class Mcr(Balance):
    """Let the encoder of each modality raise the effect of its modality on the prediction.

    The effect of a modality is the Jensen-Shannon divergence of the fused prediction from the one
    after its vectors were exchanged among samples. It is 0 where all vectors are equal or where the
    fusion ignores them. Its gradient reaches encoders alone. An encoder gets the gradient of its
    own effect, and `cooperation` times those of the others: with -1 it lowers the effects of the
    others, with 0 it leaves them alone, and with 1 it raises all. Fusion and heads get the gradient
    of the other terms of the loss.

    Source: Kontras et al., "Balancing Multimodal Training Through Game-Theoretic Regularization",
    NeurIPS 2025, https://arxiv.org/abs/2411.07335. The published runs have -1. Its terms for shared
    and for irrelevant information are `shared` and `irrelevant` of the objective, whose gradients
    reach all that they depend on. The divergence of labels with two classes each is the mean over
    labels, which is this project's, and so are the weights in the task.

    Args:
        cooperation: the weight of the other modalities' effects, from -1 to 1.

    Raises:
        ValueError: `cooperation` is out of range.
    """

    display_name = "MCR"
    description = "Lets each encoder raise how much its modality changes the prediction."
    source = (
        'Kontras et al., "Balancing Multimodal Training Through Game-Theoretic Regularization", '
        "NeurIPS 2025, https://arxiv.org/abs/2411.07335"
    )
    separate = True
    raises_effects = True

    def __init__(self, *, cooperation: float = -1.0):
        if not -1 <= cooperation <= 1:
            raise ValueError(f"cooperation is {cooperation}; expected a number from -1 to 1.")
        self.cooperation = cooperation

    def check(self, objective: Objective) -> None:
        """See `Balance`.

        Raises:
            ValueError: the objective has no effects of modalities.
        """
        if not isinstance(objective, Supervised) or not objective.effect:
            raise ValueError(
                "it raises how much modalities change the prediction, and the objective has no "
                "such terms; expected the objective 'outcome' with an effect above 0. Set "
                "objective.effect, or remove [balance]."
            )

    def combine(self, step: StepGradients) -> Gradients:
        """See `Balance`."""
        parts = []
        for name, gradients in step.terms.items():
            if name.startswith(_EFFECT):
                player = name.removeprefix(_EFFECT)
                gradients = self._of_encoders(gradients, step.owners, player)
            parts.append(gradients)
        return summed(parts)

    def _of_encoders(
        self, gradients: Gradients, owners: tuple[str | None, ...], player: str
    ) -> Gradients:
        """Return what encoders get of the gradient of a modality's effect."""
        found: Gradients = []
        for gradient, owner in zip(gradients, owners, strict=True):
            share = 0.0 if owner is None else 1.0 if owner == player else self.cooperation
            found.append(None if gradient is None or not share else share * gradient)
        return found
