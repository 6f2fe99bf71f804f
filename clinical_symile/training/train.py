"""Train a run: set up, loop over epochs and steps, and write each epoch."""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.external.training_inputs import INPUTS_FILE, write_inputs
from clinical_symile.data.loader import Batch, BatchLoader, open_loader, prefetch
from clinical_symile.data.side_information import SideInformation, build_side_information
from clinical_symile.data.store import CohortStore
from clinical_symile.data.training_view import TrainingView, build_training_view, epoch_batches
from clinical_symile.errors import ClinicalSymileError, DataError, DefinitionError
from clinical_symile.files import lock_folder
from clinical_symile.models.augmentations import Augmentation
from clinical_symile.models.missing_modality.base import missing_modality_method
from clinical_symile.registry.run_names import check_run_name
from clinical_symile.tracking.checksums import check_folder
from clinical_symile.tracking.provenance import now
from clinical_symile.tracking.run import Run
from clinical_symile.training.checkpoint import resume, save_epoch
from clinical_symile.training.determinism import deterministic_algorithms
from clinical_symile.training.flops import warn_about_flops
from clinical_symile.training.learner import (
    Learner,
    build_augmentations,
    build_learner,
    processes,
)
from clinical_symile.training.model_selection import selection_metric, tuning_metrics
from clinical_symile.training.optim import learning_rate, parameter_groups
from clinical_symile.training.run_record import read_or_new_record

# The backend of `torch.compile`.
_COMPILER = "inductor"


def train(
    task: Pretraining,
    *,
    store: CohortStore,
    run: Run,
    seed: int,
    accelerator: str = "auto",
    devices: int = 1,
    deterministic: bool = False,
    on_epoch: Callable[[Run], object] = lambda run: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Run:
    """Train a run, or resume its training, until it is finished.

    A finished run of the same task, store and seed is returned unchanged. A stopped run resumes
    after its last complete epoch and ends with the same weights as an uninterrupted one.

    Args:
        task: the pretraining task.
        store: the prepared cohort to train on.
        run: the run's folder.
        seed: seed of weights, batches, hidden modalities and negatives.
        accelerator: `cpu`, `cuda`, or `auto`, as in Lightning Fabric.
        devices: the number of devices. Each holds a share of every batch, and the loss is that of
            the whole batch; batch normalisation uses the statistics of each share. Other processes
            run the program from its start and end after training: only the first one continues.
        deterministic: True to use deterministic algorithms alone, also on CUDA; see
            `deterministic_algorithms`. The record says how much longer a step takes
            (`deterministic_cost`), measured before the first step on one device.
        on_epoch: called after each epoch is written.
        progress: called with the steps done and all steps.

    Raises:
        DataError: the folder has a run of another task, store or seed, or the name of the oracle
            or of a baseline; or too few samples can be used to train or to select the best epoch;
            or files of the run were changed.
        DefinitionError: see `build_learner`.
        ClinicalSymileError: the machine has fewer GPUs than `devices`, or an operation has no
            deterministic algorithm.
    """
    check_run_name(run.name, where=str(run.path), advice="Give another name with --name.")
    with lock_folder(run.path):
        check_folder(run.path)
        record = read_or_new_record(run, task, store, seed=seed, deterministic=deterministic)
        if "finished" in record:
            return run
        method = missing_modality_method(task.missing_modality)
        view = build_training_view(task, store, seed=seed, min_modalities=method.min_modalities)
        _check_devices(accelerator, devices)
        if deterministic and devices == 1 and not run.history:
            record["deterministic_cost"] = _deterministic_cost(task, store, seed, accelerator)
        with deterministic_algorithms(deterministic):
            fabric = _launch(task, accelerator, devices)
            training = _set_up(task, view, run, fabric, seed=seed, dropout_rate=method.dropout_rate)
            _train_epochs(training, run, record, on_epoch=on_epoch, progress=progress)
    return run


def _deterministic_cost(
    task: Pretraining, store: CohortStore, seed: int, accelerator: str
) -> float:
    """Return how many times as long a step takes with deterministic algorithms alone."""
    with deterministic_algorithms():  # first: CUDA reads its environment once
        seconds = time_training(task, store=store, seed=seed, accelerator=accelerator)
    plain = time_training(task, store=store, seed=seed, accelerator=accelerator)
    return round(seconds / plain, 2)


def time_training(
    task: Pretraining,
    *,
    store: CohortStore,
    seed: int = 0,
    accelerator: str = "auto",
    n_steps: int = 3,
) -> float:
    """Estimate how many seconds the training of a task takes, from its first steps on one device.

    A step counts with the loading of its batch as far as the step before does not hide it. Nothing
    is written. The metrics on the tuning split after each epoch come on top.

    Args:
        task: the pretraining task.
        store: the prepared cohort to train on.
        seed: as for `train`.
        accelerator: as for `train`.
        n_steps: number of steps to measure, after one that is not counted.

    Raises:
        DataError: as for `train`.
        DefinitionError: as for `train`.
    """
    method = missing_modality_method(task.missing_modality)
    view = build_training_view(task, store, seed=seed, min_modalities=method.min_modalities)
    fabric = _launch(task, accelerator, devices=1)
    training = _set_up(task, view, None, fabric, seed=seed, dropout_rate=method.dropout_rate)
    times = [time.perf_counter()]
    batches = prefetch(islice(_epoch_batches(training, epoch=1), n_steps + 1))
    for step, (batch, generator) in enumerate(batches):
        _train_step(training, batch, generator, epoch=1, step=step)
        times.append(time.perf_counter())
    laps = np.diff(times)
    return float(laps[1:].mean() if len(laps) > 1 else laps.mean()) * training.steps


@dataclass(frozen=True)
class _Training:
    """The objects that all epochs of a run share.

    Attributes:
        task: the pretraining task.
        view: the samples and modalities to train on.
        side: the side information that the objective reads, of the view's samples.
        seed: seed of the run.
        dropout_rate: the share of available modalities that each epoch hides.
        fabric: the processes and their devices.
        loader: loads batches onto the device.
        learner: the model and its objective.
        wrapped: the learner as Fabric runs it.
        optimiser: the optimiser as Fabric runs it.
        augmentations: for some modalities, a change of their inputs.
        history: one entry per complete epoch.
    """

    task: Pretraining
    view: TrainingView
    side: SideInformation
    seed: int
    dropout_rate: float
    fabric: Fabric
    loader: BatchLoader
    learner: Learner
    wrapped: Any
    optimiser: Any
    augmentations: Mapping[str, Augmentation]
    history: list[dict[str, Any]]

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches of an epoch."""
        return len(self.view.rows) // min(self.task.batch_size, len(self.view.rows))

    @property
    def steps(self) -> int:
        """The number of steps of all epochs."""
        return self.task.epochs * self.steps_per_epoch


def _launch(task: Pretraining, accelerator: str, devices: int) -> Fabric:
    """Start the processes that train."""
    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        precision=task.precision,
        strategy="auto" if devices == 1 else DDPStrategy(find_unused_parameters=True),
    )
    fabric.launch()
    return fabric


def _set_up(
    task: Pretraining,
    view: TrainingView,
    run: Run | None,
    fabric: Fabric,
    *,
    seed: int,
    dropout_rate: float,
) -> _Training:
    """Build the learner and its optimiser, and load a run's state after its last complete epoch."""
    loader = open_loader(view.store, task.modalities, device=fabric.device)
    learner, augmentations = build_learner(task, view.store, seed=seed), build_augmentations(task)
    side = build_side_information(task, view, reads=learner.objective.reads)
    if run is not None and fabric.is_global_zero:
        warn_about_flops(learner, view.store, task)
    on_gpu = fabric.device.type == "cuda"
    if on_gpu:
        learner.model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if task.compile:
        for encoder in learner.model.encoders.values():
            encoder.compile(backend=_COMPILER)
    _begin_training(learner, task, view)
    wrapped = fabric.setup_module(learner)
    learner.start_teacher()
    # Only now: the optimiser needs the weights on their device and in their precision.
    groups = parameter_groups(learner, task.optimiser)
    adam = torch.optim.AdamW(groups, lr=0.0, fused=on_gpu)
    history = [] if run is None else resume(run, learner, adam)
    return _Training(
        task=task,
        view=view,
        side=side,
        seed=seed,
        dropout_rate=dropout_rate,
        fabric=fabric,
        loader=loader,
        learner=learner,
        wrapped=wrapped,
        optimiser=fabric.setup_optimizers(adam),
        augmentations=augmentations,
        history=history,
    )


def _begin_training(learner: Learner, task: Pretraining, view: TrainingView) -> None:
    """Make the objective's state that is only for training.

    Raises:
        DefinitionError: the objective's state does not fit the batches.
    """
    size = min(task.batch_size, len(view.rows))
    try:
        learner.objective.begin_training(rows=len(view.store.samples), batch_size=size)
    except ValueError as error:
        raise DefinitionError(f"task '{task.name}': objective: {error}", code="CS-F020") from error


def _train_epochs(
    training: _Training,
    run: Run,
    record: Mapping[str, Any],
    *,
    on_epoch: Callable[[Run], object],
    progress: Callable[[int, int], None],
) -> None:
    """Train the epochs that are left, and write each."""
    task, fabric = training.task, training.fabric
    for epoch in range(len(training.history) + 1, task.epochs + 1):
        training.history.append(_train_epoch(training, epoch, progress))
        if fabric.is_global_zero:
            run.write_metadata(record)  # only now: a run that fails at once leaves no folder
            if not (run.path / INPUTS_FILE).is_file():
                write_inputs(run.path, training.view.store)
            is_best = _is_best(training.history, task)
            save_epoch(run, training.learner, training.optimiser, training.history, best=is_best)
            on_epoch(run)
        fabric.barrier()
    if fabric.is_global_zero:
        run.write_metadata({**record, "finished": now()})
    _end_other_processes(fabric)


def _train_epoch(
    training: _Training, epoch: int, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """Run the steps of an epoch and return its entry of the history."""
    task, started = training.task, time.perf_counter()
    losses, norms = [], []
    for batch, generator in prefetch(_epoch_batches(training, epoch=epoch)):
        step = (epoch - 1) * training.steps_per_epoch + len(losses)
        loss, norm = _train_step(training, batch, generator, epoch=epoch, step=step)
        losses.append(loss)
        norms.append(norm)
        progress(step + 1, training.steps)
    return {
        "epoch": epoch,
        "step": epoch * training.steps_per_epoch,
        "loss": float(np.mean(losses)),
        "gradient_norm": float(np.mean(norms)),
        "learning_rate": training.optimiser.param_groups[0]["lr"],
        **training.learner.objective.scalars(),
        **tuning_metrics(
            training.learner, training.view.store, task, seed=training.seed, loader=training.loader
        ),
        "seconds": time.perf_counter() - started,
    }


def _epoch_batches(training: _Training, *, epoch: int) -> Iterator[tuple[Batch, torch.Generator]]:
    """Yield this process's share of each batch of an epoch, and the batch's generator."""
    return epoch_batches(
        training.view,
        training.loader,
        batch_size=training.task.batch_size,
        dropout_rate=training.dropout_rate,
        augmentations=training.augmentations,
        seed=training.seed,
        epoch=epoch,
        rank=training.fabric.global_rank,
        processes=training.fabric.world_size,
    )


def _train_step(
    training: _Training, batch: Batch, generator: torch.Generator, *, epoch: int, step: int
) -> tuple[float, float]:
    """Update the weights on a batch; return the loss and the norm of the gradient.

    Raises:
        DataError: the loss cannot be computed on the batch, or the gradient is not finite.
    """
    task, fabric, optimiser = training.task, training.fabric, training.optimiser
    for group in optimiser.param_groups:
        group["lr"] = learning_rate(task.optimiser, step, training.steps)
    try:
        side = training.side.of(batch.rows)
        progress = step / training.steps
        loss = training.wrapped(vars(batch), vars(side), generator, fabric, progress)
    except ValueError as error:
        raise DataError(f"task '{task.name}', epoch {epoch}: {error}", code="CS-R009") from error
    optimiser.zero_grad()
    fabric.backward(loss)
    norm = fabric.clip_gradients(
        training.wrapped,
        optimiser,
        max_norm=task.optimiser.gradient_clip,
        error_if_nonfinite=False,
    )
    if norm is None or not torch.isfinite(norm):
        raise DataError(
            f"task '{task.name}': training diverged in epoch {epoch}: the gradient is not finite. "
            "Lower optimiser.learning_rate, and train under another name or remove the run's "
            "folder, which exists after a complete epoch.",
            code="CS-R008",
        )
    optimiser.step()
    training.learner.after_step(processes(fabric))
    return float(loss.detach()), float(norm.detach())


def _is_best(history: Sequence[dict[str, Any]], task: Pretraining) -> bool:
    """Return whether the last epoch is the first one with the highest tuning metric."""
    values = [epoch[selection_metric(task)] for epoch in history]
    return values[-1] > max(values[:-1], default=-math.inf)


def _check_devices(accelerator: str, devices: int) -> None:
    """Refuse more GPUs than the machine has."""
    found = torch.cuda.device_count()
    if (accelerator == "cuda" or (accelerator == "auto" and found)) and found < devices:
        raise ClinicalSymileError(
            f"this machine has {found} CUDA devices; expected {devices}. Ask for fewer with "
            "--devices, or for --accelerator cpu.",
            code="CS-R010",
        )


def _end_other_processes(fabric: Fabric) -> None:
    """End the processes started for training; the first one continues without them."""
    if fabric.world_size == 1:
        return
    torch.distributed.destroy_process_group()
    if not fabric.is_global_zero:
        raise SystemExit(0)
    for name in ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        os.environ.pop(name, None)
