"""Make the balance of a task, and give the parameters of a step the gradient that it makes."""

from collections.abc import Mapping

import torch
from lightning_fabric import Fabric
from torch import Tensor

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.errors import DefinitionError
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import BALANCES
from clinical_symile.training.balance.base import (
    TOTAL_TERM,
    Balance,
    apply_gradients,
    step_gradients,
)
from clinical_symile.training.learner import SCORE, TOTAL, Learner, processes

_SEED_OF_BALANCES = 2**34  # added to a batch's seed; views have 2**33


def build_balance(task: Pretraining, learner: Learner) -> Balance | None:
    """Make the balance of a task; None if it has none.

    Raises:
        DefinitionError: it does not accept the arguments, or the objective.
    """
    if task.balance is None:
        return None
    try:
        balance = resolve(task.balance.name, BALANCES)(**task.balance.arguments)
        balance.check(learner.objective)
    except (TypeError, ValueError) as error:
        raise DefinitionError(f"task '{task.name}': balance: {error}", code="CS-F020") from error
    learner.keeps_parts = balance.separate
    return balance


def apply_balance(
    learner: Learner,
    balance: Balance,
    losses: Mapping[str, Tensor],
    generator: torch.Generator,
    fabric: Fabric,
    task: Pretraining,
) -> None:
    """Give the parameters the gradient that a balance makes of the step's terms.

    Args:
        learner: the model and its objective.
        balance: combines the gradients.
        losses: what the learner returned, with its graph.
        generator: that of the batch; its seed is used.
        fabric: the processes.
        task: for messages.

    Raises:
        DefinitionError: the loss does not have what the balance needs.
    """
    loss, score = f"{TOTAL}/", f"{SCORE}/"
    parts = {k.removeprefix(loss): v for k, v in losses.items() if k.startswith(loss)}
    scores = {k.removeprefix(score): float(v) for k, v in losses.items() if k.startswith(score)}
    step = step_gradients(
        learner,
        parts if balance.separate and parts else {TOTAL_TERM: losses[TOTAL]},
        values={name: float(value.detach()) for name, value in parts.items()},
        scores=scores,
        generator=torch.Generator().manual_seed(generator.initial_seed() + _SEED_OF_BALANCES),
        group=processes(fabric),
    )
    try:
        apply_gradients(learner, balance.combine(step))
    except ValueError as error:
        raise DefinitionError(f"task '{task.name}': balance: {error}", code="CS-F020") from error
