"""BalGrad: keep the gradient of the task from working against agreement of the modalities."""

from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.outcome import Supervised
from clinical_symile.training.balance._unimodal_scores import require_unimodal_heads
from clinical_symile.training.balance.base import (
    Balance,
    Gradients,
    StepGradients,
    inner_product,
    summed,
)

_AGREEMENT, _UNIMODAL = "agreement_", "unimodal_"


class BalGrad(Balance):
    """Weigh the modalities' agreement terms, and project the task's gradient where they conflict.

    The agreement term of a modality is the divergence of its own prediction from the fused one. Its
    gradient is weighed by the modality's own log loss divided by the mean of all, so that one that
    has learned little counts more. If the task's gradient of the encoders has a negative inner
    product with the sum of these, its part along the sum is removed. Both are then added.

    Source: BalGrad, "See-Saw Modality Balance: See Gradient, and Sew Impaired Vision-Language
    Balance to Mitigate Dominant Modality Bias", NAACL 2025, https://arxiv.org/abs/2503.13834, from
    a summary. The weights by log losses, and the inner product over encoders alone, are this
    project's.
    """

    display_name = "BalGrad"
    description = "Removes what of the task's gradient works against agreement of the modalities."
    source = (
        'BalGrad, "See-Saw Modality Balance", NAACL 2025, https://arxiv.org/abs/2503.13834 '
        "(from a summary)"
    )
    separate = True

    def check(self, objective: Objective) -> None:
        """See `Balance`.

        Raises:
            ValueError: the objective has no agreement terms.
        """
        require_unimodal_heads(objective)
        assert isinstance(objective, Supervised)
        if not objective.agreement:
            raise ValueError(
                "it combines the task's gradient with that of agreement, and the objective has "
                "agreement = 0; expected more. Set objective.agreement, or remove [balance]."
            )

    def combine(self, step: StepGradients) -> Gradients:
        """See `Balance`."""
        task = summed([of for name, of in step.terms.items() if not name.startswith(_AGREEMENT)])
        names = [
            name.removeprefix(_AGREEMENT) for name in step.terms if name.startswith(_AGREEMENT)
        ]
        losses = [step.values[f"{_UNIMODAL}{name}"] for name in names]
        mean = sum(losses) / max(len(losses), 1)
        weights = [loss / mean if mean > 0 else 1.0 for loss in losses]
        agreement = summed([step.terms[f"{_AGREEMENT}{name}"] for name in names], weights)
        if not names:
            return task
        return summed([without_conflict(task, agreement, step.owners), agreement])


def without_conflict(
    task: Gradients, other: Gradients, owners: tuple[str | None, ...]
) -> Gradients:
    """Return a gradient without its part against another one, in the parameters of encoders.

    Args:
        task: the gradient.
        other: the one that it must not work against.
        owners: see `StepGradients`.
    """
    both, length = inner_product(task, other, owners), inner_product(other, other, owners)
    if both >= 0 or length == 0:
        return task
    share = -both / length
    return [
        one if owner is None or along is None else (0.0 if one is None else one) + share * along
        for one, along, owner in zip(task, other, owners, strict=True)
    ]
