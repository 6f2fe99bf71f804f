"""The contract of a balance: the gradients of a step's terms make the one that is applied.

A balance of your own is a `Balance`, named `package.module:Name`; its keyword arguments are keys of
the task's table `[balance]`. No balance is linear in gradients: those of each term are averaged
over processes first, and combined afterwards. Training without a balance computes one gradient, of
the total.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.distributed import Group

Gradients = list[Tensor | None]
TOTAL_TERM = "total"
_PARTS_OF_A_MODALITY = ("model.encoders.", "model.norms.")


@dataclass(frozen=True, repr=False)
class StepGradients:
    """The gradients of a step, averaged over processes.

    Attributes:
        owners: for each parameter the modality whose encoder it belongs to; None for others.
        terms: the gradient of each term, for each parameter; None where it does not depend on it.
            One term `total` where the balance is not `separate`.
        values: the value of each term of the loss.
        scores: for each modality the mean probability that its own head gives to the true class;
            without those that no sample of the batch has. Empty if the objective has no such heads.
        generator: draws the same numbers in all processes.
    """

    owners: tuple[str | None, ...]
    terms: Mapping[str, Gradients]
    values: Mapping[str, float]
    scores: Mapping[str, float]
    generator: torch.Generator


class Balance:
    """A rule that combines the gradients of a step.

    Attributes:
        separate: True if it needs the gradient of each term, which takes a backward pass each.
        raises_effects: True if it gives the effects of modalities on the prediction to encoders
            alone; without such a balance, fusion and heads would raise them too.
    """

    separate: ClassVar[bool] = False
    raises_effects: ClassVar[bool] = False

    def check(self, objective: Objective) -> None:
        """Refuse an objective that the balance has no meaning for; by default none.

        Raises:
            ValueError: with the reason.
        """

    def combine(self, step: StepGradients) -> Gradients:
        """Return the gradient of each parameter that is applied; None leaves it as it is.

        Raises:
            ValueError: the step does not have what the balance needs.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `combine`; define it.")

    def scalars(self, step: StepGradients) -> Mapping[str, float]:
        """Return numbers of a step by name, whose means the history keeps; by default none.

        They have the names `balance/` and these. A factor of a modality's encoder is
        `factor_` and the modality.
        """
        return {}


def owner_of(parameter: str) -> str | None:
    """Return the modality whose encoder has a parameter, by its name in a `Learner`; else None."""
    for prefix in _PARTS_OF_A_MODALITY:
        if parameter.startswith(prefix):
            return parameter.removeprefix(prefix).partition(".")[0]
    return None


def step_gradients(
    module: nn.Module,
    terms: Mapping[str, Tensor],
    *,
    values: Mapping[str, float],
    scores: Mapping[str, float],
    generator: torch.Generator,
    group: Group,
) -> StepGradients:
    """Compute the gradient of each term, and average it over processes.

    Args:
        module: the learner.
        terms: the terms, with their graph.
        values: see `StepGradients`.
        scores: see `StepGradients`.
        generator: see `StepGradients`.
        group: the processes; None for one.
    """
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    parameters = [parameter for _, parameter in named]
    found: dict[str, Gradients] = {
        name: list[Tensor | None](
            torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
        )
        for name, term in terms.items()
    }
    if group is not None:
        found = {name: _averaged(of, parameters, group) for name, of in found.items()}
    owners = tuple(owner_of(name) for name, _ in named)
    return StepGradients(owners, found, values, scores, generator)


def apply_gradients(module: nn.Module, gradients: Gradients) -> None:
    """Give the parameters of a module the gradients that the next step of the optimiser takes."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient


def summed(terms: Sequence[Gradients], weights: Sequence[float] | None = None) -> Gradients:
    """Return the weighted sum of gradients; None where all are None.

    Args:
        terms: gradients of the same parameters.
        weights: one for each; None for 1.
    """
    shares = [1.0] * len(terms) if weights is None else list(weights)
    found: Gradients = []
    for parts in zip(*terms, strict=True):
        present = [(w, part) for w, part in zip(shares, parts, strict=True) if part is not None]
        total: Tensor | None = None
        for weight, part in present:
            scaled = part if weight == 1 else weight * part
            total = scaled if total is None else total + scaled
        found.append(total)
    return found


def inner_product(left: Gradients, right: Gradients, owners: Sequence[str | None]) -> float:
    """Return the inner product of two gradients over the parameters of encoders, in float64."""
    total = 0.0
    for first, second, owner in zip(left, right, owners, strict=True):
        if owner is not None and first is not None and second is not None:
            total += float((first.double() * second.double()).sum())
    return total


def _averaged(gradients: Gradients, parameters: Sequence[Tensor], group: Group) -> Gradients:
    """Average a gradient over processes; a parameter that one process uses has one in all.

    One that no process uses has none, as in a single process: an optimiser would decay it.
    """
    assert group is not None
    counts = [gradient is not None for gradient in gradients]
    users = torch.tensor(counts, dtype=torch.int32, device=parameters[0].device)
    dist.all_reduce(users, group=group)
    averaged: Gradients = []
    for gradient, parameter, count in zip(gradients, parameters, users.tolist(), strict=True):
        if not count:
            averaged.append(None)
            continue
        whole = torch.zeros_like(parameter) if gradient is None else gradient.contiguous()
        dist.all_reduce(whole, group=group)
        averaged.append(whole / dist.get_world_size(group))
    return averaged
