"""Measure what a training costs: time, memory, energy, parameters and floating-point operations.

Nothing here draws a random number or changes one of the training; a test holds the weights to the
bit.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import torch
from lightning_fabric import Fabric

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.loader import prefetch
from clinical_symile.data.store import CohortStore
from clinical_symile.tracking.costs import (
    EMBEDDING_COSTS,
    EPOCH_COSTS,
    EVALUATION_COSTS,
    TRAINING_COSTS,
    CostMeter,
    add_costs,
    add_epoch,
)
from clinical_symile.tracking.provenance import processor
from clinical_symile.training.flops import FlopCounter
from clinical_symile.training.gpu_energy import GpuEnergy
from clinical_symile.training.steps import (
    LeftOverError,
    Training,
    set_up_alone,
    train_step,
    training_batches,
)

_STEP = "flops_per_step"


class TrainingCosts:
    """The costs of a training so far, with those of its earlier sessions.

    Args:
        fabric: the processes and their devices.
        before: the table `[costs]` of earlier sessions; empty for none.
        epochs: the number of epochs that these have written.
        flops_per_step: the operations of a step; None to count those of the next one.
        counts_step: False for compiled encoders, whose compiler a counter would disturb.
    """

    def __init__(
        self,
        fabric: Fabric,
        before: Mapping[str, Any],
        *,
        epochs: int = 0,
        flops_per_step: int | None = None,
        counts_step: bool = True,
    ):
        self._fabric, self._before = fabric, before
        self._flops = before.get(_STEP, flops_per_step)
        self._is_counted, self._counts_step = self._flops is not None, counts_step
        self._epochs = {key: list(one[:epochs]) for key, one in before.get(EPOCH_COSTS, {}).items()}
        self._spent: dict[str, Any] = {}
        self._gpu = GpuEnergy(fabric.device)
        if fabric.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(fabric.device)
        self._meter = CostMeter(self._gpu.read)
        self.pause = self._meter.pause

    @contextmanager
    def count_step(self) -> Iterator[None]:
        """Count the operations of the step inside, unless one was counted or none is to be.

        A step that raises is not counted.
        """
        if self._flops is not None or not self._counts_step:
            yield
            return
        with FlopCounter() as counter:
            yield
        self._flops = counter.total

    def end_epoch(self) -> None:
        """Add what the epoch spent; every process must call this together."""
        spent = self._of_all_processes()
        self._epochs = add_epoch(self._epochs, self._spent, spent)
        self._spent = spent

    def table(self, training: Training) -> dict[str, Any]:
        """Return the table `[costs]`; every process must call this together."""
        spent = self._of_all_processes()
        learner, device = training.learner, self._fabric.device
        sizes = [(one.numel(), one.requires_grad) for one in learner.parameters()]
        on_gpu = device.type == "cuda"
        made: dict[str, Any] = {
            "device": torch.cuda.get_device_name(device) if on_gpu else processor(),
            "devices": self._fabric.world_size,
            "threads": torch.get_num_threads(),
            "parameters": sum(size for size, _ in sizes),
            "parameters_trained": sum(size for size, is_trained in sizes if is_trained),
            **({} if self._flops is None else {_STEP: spent.pop(_STEP)}),
            TRAINING_COSTS: add_costs(self._before.get(TRAINING_COSTS, {}), spent),
            **({EPOCH_COSTS: self._epochs} if self._epochs else {}),
        }
        if training.encoding is not None:
            made["parameters_used"] = training.encoding.parameters
            made["flops_per_sample"] = training.encoding.flops
        kept = {
            key: self._before[key]
            for key in (EMBEDDING_COSTS, EVALUATION_COSTS)
            if key in self._before
        }
        return made | kept

    def _of_all_processes(self) -> dict[str, Any]:
        """Return what all processes spent: sums of times, energy and operations, higher peaks."""
        spent, fabric = self._meter.read(), self._fabric
        if self._flops is not None:
            spent[_STEP] = self._flops
        if fabric.device.type == "cuda":
            spent["peak_device_memory_bytes"] = torch.cuda.max_memory_allocated(fabric.device)
        if fabric.world_size > 1:
            spent |= self._gathered(spent)
        if math.isnan(spent.get("energy_j", math.nan)):
            spent.pop("energy_j", None)
            spent["energy_missing"] = self._gpu.missing or "it is unknown for one of the GPUs"
        return spent

    def _gathered(self, spent: Mapping[str, Any]) -> dict[str, Any]:
        """Return sums and peaks over the processes; energy is NaN if one process has none."""
        sums = ["processor_s", "energy_j", *([] if self._is_counted else [_STEP])]
        peaks = ["peak_memory_bytes", "peak_device_memory_bytes"]
        own = {key: spent.get(key, math.nan) for key in (*sums, *peaks)}
        there = {key: torch.tensor(value, dtype=torch.float64) for key, value in own.items()}
        found: Any = self._fabric.all_gather(there)
        made = {key: float(found[key].sum()) for key in sums}
        made |= {key: float(found[key].max()) for key in peaks}
        counts = {*peaks, _STEP}
        return {
            key: int(value) if key in counts else value
            for key, value in made.items()
            if key == "energy_j" or not math.isnan(value)
        }


def count_step_alone(
    task: Pretraining, store: CohortStore, *, seed: int, accelerator: str
) -> int | None:
    """Count the operations of a step of a copy of a training, which is then dropped.

    For compiled encoders: a counter would keep the compiler from its first step.

    Args:
        task: the pretraining task.
        store: the prepared cohort to train on.
        seed: as for `train`.
        accelerator: as for `train`.

    Returns:
        The operations; None if the first epoch has no step.
    """
    plain = task.model_copy(update={"compile": False})
    training = set_up_alone(plain, store, seed=seed, accelerator=accelerator)
    for step, (batch, generator) in enumerate(prefetch(training_batches(training, epoch=1))):
        with suppress(LeftOverError), FlopCounter() as counter:
            train_step(training, batch, generator, epoch=1, step=step)
            return counter.total
    return None
