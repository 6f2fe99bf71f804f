"""Check and use the scores of single modalities that modulate gradients."""

from collections.abc import Mapping

from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.outcome import Supervised
from clinical_symile.training.balance.base import Gradients, StepGradients


def require_unimodal_heads(objective: Objective) -> None:
    """Refuse an objective without heads of single modalities.

    Raises:
        ValueError: it has none.
    """
    if not isinstance(objective, Supervised) or not objective.unimodal_weight:
        raise ValueError(
            "it compares how well single modalities predict, and the objective has no heads of "
            "single modalities; expected the objective 'outcome' with a unimodal_weight above 0. "
            "Change it, or remove [balance]."
        )


def scaled_encoders(step: StepGradients, coefficients: Mapping[str, float]) -> Gradients:
    """Return the step's only gradient, with that of each modality's encoder scaled."""
    (gradients,) = step.terms.values()
    found: Gradients = []
    for gradient, owner in zip(gradients, step.owners, strict=True):
        scale = 1.0 if owner is None else coefficients.get(owner, 1.0)
        found.append(gradient if gradient is None or scale == 1 else scale * gradient)
    return found


def named_factors(coefficients: Mapping[str, float]) -> dict[str, float]:
    """Return factors under the names that a run's history has."""
    return {f"factor_{name}": factor for name, factor in coefficients.items()}


def mean_of_rest(scores: Mapping[str, float], name: str) -> float:
    """Return the mean score of all modalities but one."""
    rest = [score for other, score in scores.items() if other != name]
    return sum(rest) / len(rest)
