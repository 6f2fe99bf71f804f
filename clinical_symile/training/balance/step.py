"""Make the balance of a task, and give the parameters of a step the gradient that it makes."""

from collections.abc import Mapping

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.errors import DefinitionError
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.outcome import Supervised
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import BALANCES
from clinical_symile.training.balance.base import (
    TOTAL_TERM,
    Balance,
    apply_gradients,
    owner_of,
    step_gradients,
)
from clinical_symile.training.learner import SCORE, TOTAL, Learner, processes

_SEED_OF_BALANCES = 2**34  # added to a batch's seed; views have 2**33


def build_balance(task: Pretraining, learner: Learner) -> Balance | None:
    """Make the balance of a task; None if it has none.

    Raises:
        DefinitionError: it does not accept the arguments, or the objective.
    """
    try:
        balance = None
        if task.balance is not None:
            balance = resolve(task.balance.name, BALANCES)(**task.balance.arguments)
            balance.check(learner.objective)
            _check_encoders(learner)
        _check_effects(learner.objective, balance)
    except (TypeError, ValueError) as error:
        raise DefinitionError(f"task '{task.name}': balance: {error}", code="CS-F020") from error
    if balance is not None:
        learner.keeps_parts = balance.separate
    return balance


def _check_encoders(learner: Learner) -> None:
    """Refuse a model whose encoders are not trained, or have weights in common.

    A balance would change nothing, or give a shared weight to one of its modalities.

    Raises:
        ValueError: no weight of an encoder is trained, or one is of two encoders.
    """
    trained = [name for name, weight in learner.named_parameters() if weight.requires_grad]
    if not any(owner_of(name) for name in trained):
        raise ValueError(
            "it changes the gradients of encoders, and none of these is trained. Remove [balance], "
            "or choose a missing_modality that trains encoders."
        )
    owners: dict[nn.Parameter, set[str]] = {}
    for name, weight in learner.named_parameters(remove_duplicate=False):
        owner = owner_of(name)
        if owner is not None:
            owners.setdefault(weight, set()).add(owner)
    shared = next((of for of in owners.values() if len(of) > 1), None)
    if shared is not None:
        raise ValueError(
            f"it treats encoders apart, and those of {' and '.join(sorted(shared))} have one "
            "network; expected a network for each modality. Remove [balance], or choose other "
            "encoders."
        )


def _check_effects(objective: Objective, balance: Balance | None) -> None:
    """Refuse effects of modalities without a balance that gives them to encoders alone.

    Raises:
        ValueError: the objective has effects, and the balance does not handle them.
    """
    has_effects = isinstance(objective, Supervised) and objective.effect > 0
    if has_effects and not (balance is not None and balance.raises_effects):
        raise ValueError(
            f"objective.effect is {objective.effect}, which only the balance 'mcr' gives to "
            'encoders alone. Set balance.name = "mcr", or objective.effect = 0.'
        )


def apply_balance(
    learner: Learner,
    balance: Balance,
    losses: Mapping[str, Tensor],
    generator: torch.Generator,
    fabric: Fabric,
    task: Pretraining,
) -> dict[str, float]:
    """Give the parameters the gradient that a balance makes of the step's terms.

    Returns what the history keeps of the balance, see `Balance.scalars`.

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
        return {f"balance/{name}": value for name, value in balance.scalars(step).items()}
    except ValueError as error:
        raise DefinitionError(f"task '{task.name}': balance: {error}", code="CS-F020") from error
