"""Measure how long the steps of a training take."""

import time
from contextlib import suppress
from itertools import islice

import numpy as np
import torch

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.loader import prefetch
from clinical_symile.data.store import CohortStore
from clinical_symile.training.determinism import deterministic_algorithms
from clinical_symile.training.steps import (
    LeftOverError,
    set_up_alone,
    train_step,
    training_batches,
)


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
    training = set_up_alone(task, store, seed=seed, accelerator=accelerator)
    times = [time.perf_counter()]
    batches = prefetch(islice(training_batches(training, epoch=1), n_steps + 1))
    for step, (batch, generator) in enumerate(batches):
        with suppress(LeftOverError):
            train_step(training, batch, generator, epoch=1, step=step)
        times.append(time.perf_counter())
    laps = np.diff(times)
    return float(laps[1:].mean() if len(laps) > 1 else laps.mean()) * training.steps


def deterministic_cost(
    task: Pretraining,
    *,
    store: CohortStore,
    seed: int = 0,
    accelerator: str = "auto",
    n_steps: int = 5,
) -> float | None:
    """Measure how many times as long a step takes with deterministic algorithms alone.

    Steps of both kinds alternate, so that a busy machine slows both; the medians are compared.
    Nothing is written.

    Args:
        task: the pretraining task.
        store: the prepared cohort to train on.
        seed: as for `train`.
        accelerator: as for `train`.
        n_steps: number of steps of each kind, after one of each that is not counted.

    Returns:
        The ratio of the medians; None if an epoch has too few steps to measure two of each kind.

    Raises:
        ClinicalSymileError: see `deterministic_algorithms`.
        DataError: as for `train`.
        DefinitionError: as for `train`.
    """
    seconds: dict[bool, list[float]] = {True: [], False: []}
    with deterministic_algorithms():  # also around plain steps: cuBLAS reads its setting once
        training = set_up_alone(task, store, seed=seed, accelerator=accelerator)
        batches = prefetch(islice(training_batches(training, epoch=1), 2 * n_steps + 2))
        for step, (batch, generator) in enumerate(batches):
            fixed = step % 2 == 0
            torch.use_deterministic_algorithms(fixed)
            begin = time.perf_counter()
            with suppress(LeftOverError):
                train_step(training, batch, generator, epoch=1, step=step)
            seconds[fixed].append(time.perf_counter() - begin)
    if len(seconds[False]) < 3:
        return None
    return round(float(np.median(seconds[True][1:]) / np.median(seconds[False][1:])), 2)
