"""Estimate how long the trainings of a benchmark take, before the first one begins."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clinical_symile.benchmarking.settings import run_of_setting
from clinical_symile.benchmarking.spec import BenchmarkPlan
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.task_selection import run_name
from clinical_symile.formatting import format_duration
from clinical_symile.registry.names import path_in
from clinical_symile.tracking.costs import CostMeter
from clinical_symile.tracking.run import Run
from clinical_symile.training.timing import time_training

# What is asked for besides: the evaluation, and other machines.
_TIMES, _MORE_S = 3.0, 1800.0


@dataclass(frozen=True)
class TaskNeeds:
    """The time and memory of one training of a task, from a dry run of a few steps.

    Attributes:
        seconds: of the training.
        memory_bytes: the highest memory of this process in the dry run.
    """

    seconds: float
    memory_bytes: int

    @property
    def time_s(self) -> float:
        """Seconds to ask an engine for: three times the training, and half an hour."""
        return _TIMES * self.seconds + _MORE_S


@dataclass(frozen=True)
class TrainingEstimate:
    """The trainings that a benchmark has left, and about how long they take.

    Attributes:
        n_trainings: number of trainings that have not begun.
        n_resumed: number of trainings that were stopped and will be resumed.
        seconds: of those that have not begun, one after another on one device of this machine.
        at_once: number of trainings that run at once.
        needs: for each task that is to be trained, by name, what one training needs.
    """

    n_trainings: int
    n_resumed: int
    seconds: float
    at_once: int = 1
    needs: Mapping[str, TaskNeeds] = field(default_factory=dict)

    def __str__(self) -> str:
        resumed = f", and {self.n_resumed} that stopped before" if self.n_resumed else ""
        beside = f", {self.at_once} at once" if self.at_once > 1 else ""
        duration = format_duration(self.seconds / self.at_once)
        return (
            f"Trainings: {self.n_trainings}{resumed}{beside}; about {duration} on this machine, "
            "measured on three steps of each task. Evaluation comes on top."
        )


def estimate_trainings(
    plan: BenchmarkPlan, *, store: CohortStore, out: Path, at_once: int = 1
) -> TrainingEstimate | None:
    """Time a few steps of each task that is still to be trained; None if no training is left.

    Args:
        plan: what to train.
        store: the prepared cohort.
        out: the benchmark's folder; finished runs in it are not trained again.
        at_once: number of trainings that run at once.

    Raises:
        DataError: a task cannot be trained on the store.
    """
    n_trainings, n_resumed, seconds, needs = 0, 0, 0.0, dict[str, TaskNeeds]()
    for task in plan.pretraining:
        runs = _runs_of(task.name, plan, out)
        new = [run for run in runs if not run.history]
        n_trainings += len(new)
        n_resumed += sum(not run.is_finished for run in runs) - len(new)
        if new:
            meter = CostMeter()
            one = time_training(task, store=store, accelerator=plan.spec.accelerator)
            needs[task.name] = TaskNeeds(one, int(meter.read()["peak_memory_bytes"]))
            seconds += len(new) * one
    if not n_trainings + n_resumed:
        return None
    return TrainingEstimate(n_trainings, n_resumed, seconds, at_once, needs)


def _runs_of(task: str, plan: BenchmarkPlan, out: Path) -> list[Run]:
    """Return the runs that are trained for a task, each setting's included."""
    first, *others = plan.seeds
    settings = len(plan.settings.get(task, ()))
    name = run_name(task, first)
    runs = [run_of_setting(out, number, name) for number in range(1, settings + 1)]
    runs = runs or [Run(path_in(out / "runs", name))]
    return [*runs, *(Run(path_in(out / "runs", run_name(task, seed))) for seed in others)]
