"""Train a run: set up, loop over epochs and steps, and write each epoch."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.batch_orders import shareable_left_over
from clinical_symile.data.external.training_inputs import INPUTS_FILE, write_inputs
from clinical_symile.data.loader import prefetch
from clinical_symile.data.store import CohortStore
from clinical_symile.data.store_summary import write_summary
from clinical_symile.data.training_view import build_training_view
from clinical_symile.errors import ClinicalSymileError
from clinical_symile.files import lock_folder
from clinical_symile.formatting import format_parts
from clinical_symile.models.missing_modality.base import missing_modality_method
from clinical_symile.registry.run_names import check_run_name
from clinical_symile.tracking.checksums import check_folder
from clinical_symile.tracking.costs import COSTS
from clinical_symile.tracking.provenance import now
from clinical_symile.tracking.run import Run
from clinical_symile.training.checkpoint import save_epoch
from clinical_symile.training.cluster import (
    join_processes,
    leave_finished_training,
    leave_processes,
    require_processes,
)
from clinical_symile.training.costs import TrainingCosts, count_step_alone
from clinical_symile.training.determinism import deterministic_algorithms
from clinical_symile.training.model_selection import selection_metric, tuning_metrics
from clinical_symile.training.precision import AUTO, chosen_precision
from clinical_symile.training.run_record import read_or_new_record
from clinical_symile.training.start import start_record
from clinical_symile.training.steps import (
    LeftOverError,
    Training,
    launch,
    set_up,
    train_step,
    training_batches,
    training_order,
)
from clinical_symile.training.timing import deterministic_cost


def train(
    task: Pretraining,
    *,
    store: CohortStore,
    run: Run,
    seed: int,
    accelerator: str = "auto",
    devices: int = 1,
    nodes: int = 1,
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
        nodes: the number of machines; `torchrun` or `srun` starts the program on each of them.
        deterministic: True to use deterministic algorithms alone, also on CUDA; see
            `deterministic_algorithms`. The record says how much longer a step takes
            (`deterministic_cost`), measured before the first step on one device.
        on_epoch: called after each epoch is written.
        progress: called with the steps done and all steps.

    Raises:
        DataError: the folder has a run of another task, store or seed, or the name of the oracle
            or of a baseline, its files were changed, too few samples can be used to train or to
            select the best epoch, or see `start_record`.
        DefinitionError: see `build_learner` and `start_record`.
        ClinicalSymileError: the machine has fewer GPUs than `devices`, an operation has no
            deterministic algorithm, or no processes were started on other machines.
    """
    check_run_name(run.name, where=str(run.path), advice="Give another name with --name.")
    processes = devices * nodes
    join_processes(processes)
    with lock_folder(run.path):
        check_folder(run.path)
        record = read_or_new_record(run, task, store, seed=seed, deterministic=deterministic)
        if not _is_left_to_train(record, processes, nodes):
            return run
        record |= {} if run.history else start_record(task, store)
        method = missing_modality_method(task.missing_modality)
        view = build_training_view(task, store, seed=seed, min_modalities=method.min_modalities)
        _check_devices(accelerator, devices)
        order = training_order(task, view, processes=processes)
        if deterministic and processes == 1 and not run.history:
            cost = deterministic_cost(task, store=store, seed=seed, accelerator=accelerator)
            record |= {} if cost is None else {"deterministic_cost": cost}
        precision = chosen_precision(task, record, accelerator=accelerator)
        record |= {"precision": precision} if task.precision == AUTO else {}
        record |= {"pairing": format_parts(view.pairing)} if view.pairing else {}
        with deterministic_algorithms(deterministic):
            flops = None
            if task.compile and processes == 1 and not run.history:
                flops = count_step_alone(task, store, seed=seed, accelerator=accelerator)
            fabric = launch(precision, accelerator, devices, nodes)
            costs = TrainingCosts(
                fabric,
                record.get(COSTS, {}),
                epochs=len(run.history),
                flops_per_step=flops,
                counts_step=not task.compile,
            )
            training = set_up(
                task, view, order, run, fabric, seed=seed, dropout_rate=method.dropout_rate
            )
            if training.begun_anew:
                record |= {"start": {**record["start"], "new": list(training.begun_anew)}}
            _train_epochs(training, run, record, costs, on_epoch=on_epoch, progress=progress)
    return run


def _is_left_to_train(record: Mapping[str, Any], processes: int, nodes: int) -> bool:
    """Return False for a finished run, in the first process of several: the others end."""
    if "finished" not in record:
        require_processes(processes, nodes)
        return True
    if processes > 1:
        leave_finished_training()
    return False


def _train_epochs(
    training: Training,
    run: Run,
    record: Mapping[str, Any],
    costs: TrainingCosts,
    *,
    on_epoch: Callable[[Run], object],
    progress: Callable[[int, int], None],
) -> None:
    """Train the epochs that are left, and write each."""
    task, fabric = training.task, training.fabric
    for epoch in range(len(training.history) + 1, task.epochs + 1):
        training.history.append(_train_epoch(training, costs, epoch, progress))
        costs.end_epoch()
        spent = costs.table(training)
        if fabric.is_global_zero:
            # Only now: a run that fails at once leaves no folder.
            run.write_metadata({**record, COSTS: spent})
            if not (run.path / INPUTS_FILE).is_file():
                write_inputs(run.path, training.view.store)
            write_summary(run.path, training.view.store)
            is_best = _is_best(training.history, task)
            save_epoch(run, training.learner, training.optimiser, training.history, best=is_best)
            with costs.pause():
                on_epoch(run)
        fabric.barrier()
    spent = costs.table(training)
    if fabric.is_global_zero:
        run.write_metadata({**record, "finished": now(), COSTS: spent})
    _end_other_processes(fabric)


def _train_epoch(
    training: Training,
    costs: TrainingCosts,
    epoch: int,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Run the steps of an epoch and return its entry of the history."""
    task, started = training.task, time.perf_counter()
    found, left_over, reason = list[dict[str, float]](), training.order.left_over, None
    first = (epoch - 1) * training.steps_per_epoch
    for step, (batch, generator) in enumerate(
        prefetch(training_batches(training, epoch=epoch)), start=first
    ):
        try:
            with costs.count_step():
                found.append(train_step(training, batch, generator, epoch=epoch, step=step))
        except LeftOverError as error:
            left_over, reason = left_over + len(batch.rows), error
        progress(step + 1, training.steps)
    if reason is not None and not found:
        raise reason
    return {
        "epoch": epoch,
        "step": epoch * training.steps_per_epoch,
        **_means(found),
        **shareable_left_over(left_over),
        "learning_rate": training.optimiser.param_groups[0]["lr"],
        **training.learner.objective.scalars(),
        **tuning_metrics(
            training.learner, training.view.store, task, seed=training.seed, loader=training.loader
        ),
        "seconds": time.perf_counter() - started,
    }


def _means(steps: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean over steps of the loss, of each of its terms and of the gradient's norm.

    A term that only some steps have, such as one that begins later, has the mean of those.
    """
    names = dict.fromkeys(name for step in steps for name in step)
    return {name: float(np.mean([step[name] for step in steps if name in step])) for name in names}


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
    leave_processes(is_first=fabric.is_global_zero)
