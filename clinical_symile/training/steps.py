"""Set up a training, and take its steps: a batch, its loss and one update of the weights."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy

from clinical_symile.config.tasks.pretraining import ModalityDropout, Pretraining
from clinical_symile.data.batch_orders import BatchOrder, batch_order
from clinical_symile.data.loader import Batch, BatchLoader, open_loader
from clinical_symile.data.side_information import SideInformation, build_side_information
from clinical_symile.data.store import CohortStore
from clinical_symile.data.training_view import TrainingView, build_training_view, epoch_batches
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.models.augmentations import Augmentation
from clinical_symile.models.missing_modality.base import missing_modality_method
from clinical_symile.objectives.slots import FewSamplesError
from clinical_symile.tracking.run import Run
from clinical_symile.training.balance.base import Balance
from clinical_symile.training.balance.step import apply_balance, build_balance
from clinical_symile.training.checkpoint import resume
from clinical_symile.training.cluster import cluster_environment
from clinical_symile.training.convolutions import guard_narrow_convolutions
from clinical_symile.training.feature_cache import reasons_to_encode, with_features
from clinical_symile.training.flops import EncodingCount, count_encoding, warn_about_flops
from clinical_symile.training.learner import TOTAL, Learner, build_augmentations, build_learner
from clinical_symile.training.model_selection import check_selection
from clinical_symile.training.optim import learning_rate, parameter_groups
from clinical_symile.training.precision import (
    Precision,
    chosen_precision,
    favors_speed,
)
from clinical_symile.training.start import load_start, start_record
from clinical_symile.training.synchronization import first_process_first
from clinical_symile.training.temperature import fix_temperature, set_temperature

# The backend of `torch.compile`.
_COMPILER = "inductor"
_ONE_SITE = (
    "Its samples are all of one site, and a larger batch_size gives a small site no more of them. "
    "Set batches to 'shuffled', choose a missing-modality method that uses incomplete samples, or "
    "leave such sites out of the cohort."
)


class LeftOverError(DataError):
    """A batch of one site that has too few samples of what the loss needs; an epoch goes on."""


@dataclass(frozen=True)
class Training:
    """The objects that all epochs of a run share.

    Attributes:
        task: the pretraining task.
        view: the samples and modalities to train on.
        side: the side information that the objective reads, of the view's samples.
        seed: seed of the run.
        dropout: which available modalities each epoch hides.
        fabric: the processes and their devices.
        order: divides the samples of an epoch into batches.
        loader: loads batches onto the device.
        learner: the model and its objective.
        wrapped: the learner as Fabric runs it.
        optimiser: the optimiser as Fabric runs it.
        augmentations: for some modalities, a change of their inputs.
        history: one entry per complete epoch.
        balance: combines the gradients of a step; None for the gradient of the total.
        begun_anew: parts of the learner that the run of the task's `start` does not have; see
            `load_start`.
        encoding: what embedding a sample takes; None for steps that are only measured, and in
            processes other than the first.
    """

    task: Pretraining
    view: TrainingView
    side: SideInformation
    seed: int
    dropout: ModalityDropout
    fabric: Fabric
    order: BatchOrder
    loader: BatchLoader
    learner: Learner
    wrapped: Any
    optimiser: Any
    augmentations: Mapping[str, Augmentation]
    history: list[dict[str, Any]]
    balance: Balance | None = None
    begun_anew: tuple[str, ...] = ()
    encoding: EncodingCount | None = None

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches of an epoch."""
        return self.order.steps

    @property
    def steps(self) -> int:
        """The number of steps of all epochs."""
        return self.task.epochs * self.steps_per_epoch


def training_order(task: Pretraining, view: TrainingView, *, processes: int) -> BatchOrder:
    """Return how a task divides the samples of an epoch into batches that processes share.

    Raises:
        DataError: see `batch_order`.
    """
    return batch_order(
        task.batches,
        view.store,
        view.rows,
        batch_size=task.batch_size,
        processes=processes,
        where=f"task '{task.name}'",
        # A sample that is taken apart has a row for each recording.
        spread=np.asarray(view.available.all(axis=1)) if view.is_apart.any() else None,
    )


def launch(precision: Precision, accelerator: str, devices: int, nodes: int = 1) -> Fabric:
    """Start the processes that train, or find those that were started.

    Args:
        precision: as Lightning Fabric names it, see `chosen_precision`.
        accelerator: `cpu`, `cuda` or `auto`.
        devices: the number of devices of each machine.
        nodes: the number of machines.
    """
    is_alone = devices * nodes == 1
    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        num_nodes=nodes,
        precision=precision,
        strategy="auto" if is_alone else DDPStrategy(find_unused_parameters=True),
        plugins=[LightningEnvironment() if is_alone else cluster_environment()],
    )
    fabric.launch()
    return fabric


def set_up(
    task: Pretraining,
    view: TrainingView,
    order: BatchOrder,
    run: Run | None,
    fabric: Fabric,
    *,
    seed: int,
    dropout_rate: float,
) -> Training:
    """Build the learner and its optimiser, and load a run's state after its last complete epoch.

    Args:
        task: the pretraining task.
        view: the samples and modalities to train on.
        order: divides the view's samples into batches, see `training_order`.
        run: the run to resume; None to begin anew and to write nothing.
        fabric: the processes and their devices.
        seed: seed of weights, batches, hidden modalities and negatives.
        dropout_rate: the share of available modalities that each epoch hides, unless the task says.

    Raises:
        DefinitionError: see `build_learner`, `check_selection` and `fix_temperature`; or the
            balance or the state of the objective does not fit.
        DataError: see `check_selection`.
    """
    learner, augmentations = build_learner(task, view.store, seed=seed), build_augmentations(task)
    check_selection(learner.objective, view.store, task)
    resumes = run is not None and bool(run.history)
    anew = [] if task.start is None or resumes else load_start(learner, task)
    side = build_side_information(task, view, reads=learner.objective.reads)
    encoding = None
    if run is not None and fabric.is_global_zero:
        encoding = count_encoding(learner, view.store, task)
        warn_about_flops(learner, encoding, task)
    readable = _with_features(learner, view.store, task, fabric)
    loader = open_loader(readable, task.modalities, device=fabric.device)
    is_fast = favors_speed(task, fabric.device)
    if fabric.device.type == "cpu":
        guard_narrow_convolutions(learner.model, fast=is_fast)
    if is_fast:
        learner.model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if task.compile:
        for encoder in learner.model.encoders.values():
            encoder.compile(backend=_COMPILER)
    balance = build_balance(task, learner)
    fix_temperature(learner.objective, task)
    _begin_training(learner, task, view)
    wrapped = fabric.setup_module(learner)
    learner.start_teacher()
    # Only now: the optimiser needs the weights on their device and in their precision.
    groups = parameter_groups(learner, task.optimiser)
    adam = torch.optim.AdamW(groups, lr=0.0, fused=is_fast)
    history = [] if run is None else resume(run, learner, adam)
    return Training(
        task=task,
        view=view,
        side=side,
        seed=seed,
        dropout=task.modality_dropout or ModalityDropout(rate=dropout_rate),
        fabric=fabric,
        order=order,
        loader=loader,
        learner=learner,
        wrapped=wrapped,
        optimiser=fabric.setup_optimizers(adam),
        augmentations=augmentations,
        history=history,
        balance=balance,
        begun_anew=tuple(anew),
        encoding=encoding,
    )


def _with_features(
    learner: Learner, store: CohortStore, task: Pretraining, fabric: Fabric
) -> CohortStore:
    """Return the store that batches are read from; the first process computes and writes first."""
    without = reasons_to_encode(task, learner.objective)
    return first_process_first(
        fabric,
        lambda pause: with_features(
            store, learner.model, device=fabric.device, without=without, pause=pause
        ),
    )


def set_up_alone(task: Pretraining, store: CohortStore, *, seed: int, accelerator: str) -> Training:
    """Set up a training on one device whose steps are only measured.

    Raises:
        DataError: as for `train`.
        DefinitionError: as for `train`.
    """
    start_record(task, store)
    method = missing_modality_method(task.missing_modality)
    view = build_training_view(task, store, seed=seed, min_modalities=method.min_modalities)
    order = training_order(task, view, processes=1)
    fabric = launch(chosen_precision(task, {}, accelerator=accelerator), accelerator, devices=1)
    return set_up(task, view, order, None, fabric, seed=seed, dropout_rate=method.dropout_rate)


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


def training_batches(training: Training, *, epoch: int) -> Iterator[tuple[Batch, torch.Generator]]:
    """Yield this process's share of each batch of an epoch, and the batch's generator."""
    task = training.task
    return epoch_batches(
        training.view,
        training.loader,
        order=training.order,
        dropout_rates=np.asarray(training.dropout.at(epoch, task.epochs, task.modalities)),
        augmentations=training.augmentations,
        seed=training.seed,
        epoch=epoch,
        rank=training.fabric.global_rank,
        processes=training.fabric.world_size,
    )


def train_step(
    training: Training, batch: Batch, generator: torch.Generator, *, epoch: int, step: int
) -> dict[str, float]:
    """Update the weights on a batch; return the loss, its terms and the norm of the gradient.

    What a balance keeps of the step, such as the factors of encoders, follows as `balance/`.

    Args:
        training: the model, its objective and its optimiser.
        batch: this process's share of the batch.
        generator: draws what is random in the batch.
        epoch: for messages.
        step: number of steps before this one, over all epochs.

    Raises:
        LeftOverError: the batch is of one site, on one device, and has too few samples of what the
            loss needs. Several devices cannot leave it over, as one of them may be alone with that.
        DataError: the loss cannot be computed on the batch, or it or the gradient is not finite.
    """
    task, fabric, optimiser = training.task, training.fabric, training.optimiser
    for group in optimiser.param_groups:
        group["lr"] = learning_rate(task.optimiser, step, training.steps)
    try:
        side = training.side.of(batch.rows)
        progress = step / max(training.steps - 1, 1)
        set_temperature(training.learner.objective, task, progress)
        # With a balance, gradients are averaged over processes term by term, not by the strategy.
        alone = training.balance is not None and fabric.world_size > 1
        with fabric.no_backward_sync(training.wrapped, enabled=alone):
            losses = training.wrapped(vars(batch), vars(side), generator, fabric, progress)
    except ValueError as error:
        where, kind, advised = f"task '{task.name}', epoch {epoch}", DataError, str(error)
        if task.batches == "one-site" and isinstance(error, FewSamplesError):
            advised = f"{error.problem} {_ONE_SITE}"
            kind = LeftOverError if fabric.world_size == 1 else DataError
        raise kind(f"{where}: {advised}", code="CS-R009") from error
    optimiser.zero_grad()
    kept: dict[str, float] = {}
    if training.balance is None:
        fabric.backward(losses[TOTAL])
    else:
        kept = apply_balance(training.learner, training.balance, losses, generator, fabric, task)
    norm = fabric.clip_gradients(
        training.wrapped,
        optimiser,
        max_norm=task.optimiser.gradient_clip,
        error_if_nonfinite=False,
    )
    # Only now: to read a number waits for the GPU.
    found = {name: float(value.detach()) for name, value in losses.items()}
    _refuse_not_finite(found, task, epoch)
    found |= kept
    found["gradient_norm"] = math.nan if norm is None else float(norm.detach())
    if not math.isfinite(found["gradient_norm"]):
        raise _diverged(task, epoch, "the gradient is not finite")
    optimiser.step()
    training.learner.after_step()
    return found


def _refuse_not_finite(losses: Mapping[str, float], task: Pretraining, epoch: int) -> None:
    """Refuse a loss that is not finite, by the names of its terms.

    Raises:
        DataError: a term of the loss, or all of it, is not finite.
    """
    wrong = [name for name, value in losses.items() if not math.isfinite(value)]
    if not wrong:
        return
    terms = [name.removeprefix(f"{TOTAL}/") for name in wrong if name != TOTAL]
    which = f", in its term {' and '.join(repr(term) for term in terms)}" if terms else ""
    raise _diverged(task, epoch, f"the loss is not finite{which}")


def _diverged(task: Pretraining, epoch: int, what: str) -> DataError:
    return DataError(
        f"task '{task.name}': training diverged in epoch {epoch}: {what}. Lower "
        "optimiser.learning_rate, and train under another name or remove the run's folder, which "
        "exists after a complete epoch.",
        code="CS-R008",
    )
