"""Temperature schedules: the temperature of the objective as a function of the training's progress.

An objective with a schedule does not learn its logit scale.
"""

import math

import torch
from torch import nn

from clinical_symile.config.tasks.pretraining import Pretraining, TemperatureSchedule
from clinical_symile.errors import DefinitionError
from clinical_symile.objectives.base import Objective


def scheduled_temperature(schedule: TemperatureSchedule, progress: float) -> float:
    """Return the temperature at a share of the way from the first step to the last.

    `linear` goes from `first` to `last`. `cosine` goes from `first` to `last` and back in each
    period.

    Source of `cosine`: Kukleva et al., "Temperature Schedules for Self-Supervised Contrastive
    Methods on Long-Tail Data", ICLR 2023, https://arxiv.org/abs/2303.13664.

    Args:
        schedule: its shape and limits.
        progress: 0 at the first step of the training, 1 at the last.
    """
    if schedule.shape == "linear":
        return schedule.first + (schedule.last - schedule.first) * progress
    share = (1 + math.cos(2 * math.pi * schedule.periods * progress)) / 2
    return schedule.last + (schedule.first - schedule.last) * share


def fix_temperature(objective: Objective, task: Pretraining) -> None:
    """Stop learning the logit scale of an objective whose task has a schedule.

    Raises:
        DefinitionError: the objective has no logit scale, or a maximum below that of the schedule.
    """
    schedule = task.temperature_schedule
    if schedule is None:
        return
    where = f"task '{task.name}': temperature_schedule"
    scaled = _scaled(objective)
    if not scaled:
        raise DefinitionError(
            f"{where}: objective '{task.objective.name}' learns no temperature. Remove the table, "
            "or choose an objective with one.",
            code="CS-F020",
        )
    largest = 1 / min(schedule.first, schedule.last)
    for part in scaled:
        if largest > part.logit_scale_max:
            raise DefinitionError(
                f"{where}: reaches a logit scale of {largest:g}, above the objective's "
                f"logit_scale_max = {part.logit_scale_max:g}. Raise either.",
                code="CS-F020",
            )
        assert part.log_logit_scale is not None
        part.log_logit_scale.requires_grad_(False)


def set_temperature(objective: nn.Module, task: Pretraining, progress: float) -> None:
    """Set the logit scale that the task's schedule has now; without a schedule it is learned.

    Args:
        objective: its parts have the logit scales.
        task: may have a schedule.
        progress: 0 at the first step of the training, 1 at the last.
    """
    if task.temperature_schedule is None:
        return
    temperature = scheduled_temperature(task.temperature_schedule, progress)
    with torch.no_grad():
        for part in _scaled(objective):
            assert part.log_logit_scale is not None
            part.log_logit_scale.fill_(-math.log(temperature))


def _scaled(objective: nn.Module) -> list[Objective]:
    """Return an objective, or the parts of it, that have a logit scale."""
    parts = [part for part in objective.modules() if isinstance(part, Objective)]
    return [part for part in parts if getattr(part, "log_logit_scale", None) is not None]
