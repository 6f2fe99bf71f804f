"""The training loop."""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from clinical_symile import __version__
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import task_digest
from clinical_symile.data.batch import Batch, shuffled_batches
from clinical_symile.data.loader import BatchLoader, open_loader, prefetch
from clinical_symile.data.masks import Mask, draw_mask, hide_parts
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore, ClinicalSymileError, DataError
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.models.augmentations import Augmentation
from clinical_symile.models.missing_modality.base import missing_modality_method
from clinical_symile.tracking.run import Run, now, provenance
from clinical_symile.training.checkpoint import resume, save_epoch
from clinical_symile.training.flops import warn_about_flops
from clinical_symile.training.learner import build_augmentations, build_learner
from clinical_symile.training.model_selection import complete_rows, selection_metric, tuning_metrics
from clinical_symile.training.optim import learning_rate, parameter_groups

# Of `torch.compile`.
COMPILER = "inductor"


def train(
    task: Pretraining,
    *,
    store: CohortStore,
    run: Run,
    seed: int,
    accelerator: str = "auto",
    devices: int = 1,
    on_epoch: Callable[[Run], object] = lambda run: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Run:
    """Train, or go on with training, until the run is finished.

    A finished run of the same task, store and seed is returned as it is. One that was stopped goes
    on after its last whole epoch and ends in the same weights as if it had not been.

    Args:
        task: what to learn and how.
        store: what from.
        run: where to write.
        seed: draws weights, batches, what is hidden and the objective's negatives.
        accelerator: `cpu`, `cuda`, or `auto`; as Lightning Fabric names it.
        devices: how many; each holds a share of every batch, and the loss is of the whole batch;
            statistics of batch normalisation are of each share. Their processes run the program
            from its start and end with the training: what follows is for the first alone.
        on_epoch: called after each epoch is written.
        progress: called with steps done and all steps.

    Raises:
        DataError: the run's folder is of another task, store or seed, or the store has too few
            samples to learn from or to choose by.
        DefinitionError: see `build_learner`.
        ClinicalSymileError: there are fewer GPUs than `devices`.
    """
    record = _record(run, task, store, seed)
    if "finished" in record:
        return run
    store = _withholding(store, task, seed=seed)
    rows = _learnable(store, task, seed=seed)
    pairs, present = _shown(store, task, rows, seed=seed)
    _check_devices(accelerator, devices)
    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        precision=task.precision,
        strategy="auto" if devices == 1 else DDPStrategy(find_unused_parameters=True),
    )
    fabric.launch()
    feed = open_loader(store, task.modalities, device=fabric.device)
    learner, augmentations = build_learner(task, store, seed=seed), build_augmentations(task)
    if fabric.is_global_zero:
        warn_about_flops(learner, store, task)
    on_gpu = fabric.device.type == "cuda"
    if on_gpu:
        learner.model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if task.compile:
        for encoder in learner.model.encoders.values():
            encoder.compile(backend=COMPILER)
    wrapped = fabric.setup_module(learner)
    # Made and resumed where the weights now are, in the type that they now have.
    groups = parameter_groups(learner, task.optimiser)
    moments = torch.optim.AdamW(groups, lr=0.0, fused=on_gpu)
    history = resume(run, learner, moments)
    optimiser: Any = fabric.setup_optimizers(moments)
    steps = len(rows) // min(task.batch_size, len(rows))
    for epoch in range(len(history) + 1, task.epochs + 1):
        started, losses, norms = time.perf_counter(), [], []
        about = {"fabric": fabric, "feed": feed, "augmentations": augmentations}
        batches = _batches(task, rows, pairs, present, seed=seed, epoch=epoch, **about)
        for batch, generator in prefetch(batches):
            step = (epoch - 1) * steps + len(losses)
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(task.optimiser, step, task.epochs * steps)
            try:
                loss = wrapped(vars(batch), generator, fabric)
            except ValueError as error:
                raise DataError(f"task '{task.name}', epoch {epoch}: {error}") from error
            optimiser.zero_grad()
            fabric.backward(loss)
            norm = fabric.clip_gradients(
                wrapped, optimiser, max_norm=task.optimiser.gradient_clip, error_if_nonfinite=False
            )
            if norm is None or not torch.isfinite(norm):
                raise _diverged(task, epoch)
            optimiser.step()
            learner.objective.limit_logit_scale()
            losses.append(float(loss.detach()))
            norms.append(float(norm.detach()))
            progress(step + 1, task.epochs * steps)
        history.append(
            {
                "epoch": epoch,
                "step": epoch * steps,
                "loss": float(np.mean(losses)),
                "gradient_norm": float(np.mean(norms)),
                "learning_rate": optimiser.param_groups[0]["lr"],
                "logit_scale": float(learner.objective.logit_scale.detach()),
                **tuning_metrics(learner, store, task, seed=seed, feed=feed),
                "seconds": time.perf_counter() - started,
            }
        )
        if fabric.is_global_zero:
            run.write_record(record)  # not before: what fails at once leaves no folder in the way
            save_epoch(run, learner, optimiser, history, best=_is_best(history, task))
            on_epoch(run)
        fabric.barrier()
    if fabric.is_global_zero:
        run.write_record({**record, "finished": now()})
    _leave_one(fabric)
    return run


def _diverged(task: Pretraining, epoch: int) -> DataError:
    return DataError(
        f"task '{task.name}': training diverged in epoch {epoch}: the gradient is not finite. "
        "Lower optimiser.learning_rate, and train under another name or remove the run's folder, "
        "which is there after a whole epoch."
    )


def _leave_one(fabric: Fabric) -> None:
    """End the processes that were started for training: only the first goes on, as before it."""
    if fabric.world_size == 1:
        return
    torch.distributed.destroy_process_group()
    if not fabric.is_global_zero:
        raise SystemExit(0)
    for name in ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        os.environ.pop(name, None)


def _record(run: Run, task: Pretraining, store: CohortStore, seed: int) -> dict[str, Any]:
    """The run's record: the one that is there, or a new one."""
    identity = {
        "task": task.name,
        "task_digest": task_digest(task),
        "cohort": store.cohort,
        "store_digest": store.digest,
        "seed": seed,
        "version": __version__,
    }
    if (run.path / "run.toml").is_file():
        record = run.record
        other = [key for key, value in identity.items() if record.get(key) != value]
        if other:
            raise DataError(
                f"{run.path}: holds a run of another {', '.join(other)} "
                f"({', '.join(str(record.get(key)) for key in other)}); expected "
                f"{', '.join(str(identity[key]) for key in other)}. Give another folder or name, "
                "or remove this one."
            )
        return record
    return {
        "name": run.name,
        **identity,
        "started": now(),
        **provenance(),
        "definition": task.model_dump(mode="json", exclude={"name"}),
    }


def _check_devices(accelerator: str, devices: int) -> None:
    """Refuse more GPUs than there are."""
    found = torch.cuda.device_count()
    if (accelerator == "cuda" or (accelerator == "auto" and found)) and found < devices:
        raise ClinicalSymileError(
            f"this machine has {found} CUDA devices; expected {devices}. Ask for fewer with "
            "--devices, or for --accelerator cpu."
        )


def _rng(seed: int, epoch: int) -> np.random.Generator:
    """Fresh for each epoch, so that training can go on after any of them."""
    return np.random.default_rng([seed, epoch])


def _shown(
    store: CohortStore, task: Pretraining, rows: Int[np.ndarray, " sample"], *, seed: int
) -> tuple[Int[np.ndarray, "sample modality"], Bool[np.ndarray, "sample modality"]]:
    """Whose measurements each train row has, and which the task shows: the same in every epoch."""
    pairs = PAIRS[task.pairs](rows, len(task.modalities), np.random.default_rng(seed))
    columns = [store.modalities.index(name) for name in task.modalities]
    return pairs, store.present[pairs, columns] & ~_withheld(store, task, rows, seed=seed)


def _batches(
    task: Pretraining,
    rows: Int[np.ndarray, " sample"],
    pairs: Int[np.ndarray, "sample modality"],
    present: Bool[np.ndarray, "sample modality"],
    *,
    seed: int,
    epoch: int,
    fabric: Fabric,
    feed: BatchLoader,
    augmentations: Mapping[str, Augmentation],
) -> Iterator[tuple[Batch, torch.Generator]]:
    """This process's share of each batch of an epoch, with the generator for its negatives."""
    rng = _rng(seed, epoch)
    drawn = np.random.default_rng(int(rng.integers(2**31)))
    method = missing_modality_method(task.missing_modality)
    available = present & ~_dropped(present, method.dropout_rate, drawn)
    for index in shuffled_batches(len(rows), batch_size=task.batch_size, rng=rng):
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        share = index[fabric.global_rank :: fabric.world_size]
        batch = feed.batch(rows[share], visible=available[share], partners=pairs[share])
        changes = torch.Generator().manual_seed(
            generator.initial_seed() + 2**32 + fabric.global_rank
        )
        for name, change in augmentations.items():
            batch.inputs[name] = change(batch.inputs[name], generator=changes)
        yield batch, generator


def _dropped(
    present: Bool[np.ndarray, "sample modality"], share: float, rng: np.random.Generator
) -> Bool[np.ndarray, "sample modality"]:
    """What an epoch hides of what is present, by chance; the highest draw of a sample stays."""
    draws = np.where(present, rng.random(present.shape), -1.0)
    return (draws < share) & (draws < draws.max(axis=1, keepdims=True))


def _withheld(
    store: CohortStore, task: Pretraining, rows: Int[np.ndarray, " sample"], *, seed: int
) -> Bool[np.ndarray, "sample modality"]:
    """What the task's pattern hides of train rows."""
    mask = _mask(store, task, seed=seed)
    return (mask.present & ~mask.available)[np.searchsorted(mask.rows, rows)]


def _withholding(store: CohortStore, task: Pretraining, *, seed: int) -> CohortStore:
    """The store without the parts of a modality that the task's pattern hides."""
    pattern = parse_pattern(task.missingness)
    if not pattern.within:
        return store
    try:
        return hide_parts(pattern, store, seed=seed)
    except CannotScore as reason:
        raise DataError(f"task '{task.name}': {reason}") from reason


def _mask(store: CohortStore, task: Pretraining, *, seed: int) -> Mask:
    pattern = parse_pattern(task.missingness)
    try:
        return draw_mask(pattern, store, split="train", modalities=task.modalities, seed=seed)
    except CannotScore as reason:
        raise DataError(f"task '{task.name}': {reason}") from reason


def _matched(
    rows: Int[np.ndarray, " sample"], modalities: int, rng: np.random.Generator
) -> Int[np.ndarray, "sample modality"]:
    return np.repeat(rows[:, None], modalities, axis=1)


def _shuffled(
    rows: Int[np.ndarray, " sample"], modalities: int, rng: np.random.Generator
) -> Int[np.ndarray, "sample modality"]:
    return np.stack([rng.permutation(rows) for _ in range(modalities)], axis=1)


PAIRS = {"matched": _matched, "shuffled": _shuffled}


def _learnable(store: CohortStore, task: Pretraining, *, seed: int) -> Int[np.ndarray, " sample"]:
    """The train rows that the pattern is of, with as many modalities as their way needs."""
    mask = _mask(store, task, seed=seed)
    method = missing_modality_method(task.missing_modality)
    shown = len(parse_pattern(task.missingness).shown(task.modalities))
    needed = shown if method.min_modalities is None else method.min_modalities
    rows = mask.rows[mask.available.sum(axis=1) >= needed]
    problems = [
        f"cohort '{store.cohort}': the {split} split has {count} samples with {what}; expected at "
        "least 2. Prepare a larger cohort, or choose a task of fewer modalities."
        for split, count, what in (
            ("train", len(rows), "what the task shows of its modalities"),
            ("tuning", len(complete_rows(store, "tuning", task.modalities)), "all of them"),
        )
        if count < 2
    ]
    if problems:
        raise DataError(*problems)
    return rows


def _is_best(history: Sequence[dict[str, Any]], task: Pretraining) -> bool:
    """Whether the last epoch is the first with the highest tuning metric."""
    values = [epoch[selection_metric(task)] for epoch in history]
    return values[-1] > max(values[:-1], default=-math.inf)
