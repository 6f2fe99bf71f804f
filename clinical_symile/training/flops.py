"""Count the floating-point operations of a training step: its objective and its encoders."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.loader import load_batch
from clinical_symile.data.store import CohortStore
from clinical_symile.training.learner import Learner

_COUNTED_SAMPLES = 2


class _Counter(TorchDispatchMode):
    """Count operations like PyTorch's own counter, in total instead of by module."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        count: Callable[..., int] | None = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=found)
        return found


def encoder_flops(learner: Learner, store: CohortStore, task: Pretraining) -> float:
    """Count the operations of a step's encoders, forward and backward, on complete samples.

    Two samples are encoded and counted. The backward pass takes twice the operations of the
    forward pass.
    """
    rows = store.complete_rows("tuning", task.modalities)[:_COUNTED_SAMPLES]
    batch = load_batch(store, rows, modalities=task.modalities)
    was_training = learner.model.training
    learner.model.eval()
    with torch.no_grad(), _Counter() as counter:
        learner.model(batch)
    learner.model.train(was_training)
    return 3.0 * counter.total * task.batch_size / len(rows)


def objective_flops_warning(
    of_objective: float, of_encoders: float, task: Pretraining
) -> str | None:
    """Return a warning if the objective costs more than the encoders, else None."""
    if of_objective <= of_encoders:
        return None
    return (
        f"task '{task.name}': in each step the objective takes {of_objective:.2g} floating-point "
        f"operations and the encoders {of_encoders:.2g}. If training is too slow, lower "
        'batch_size or dim, or set objective.negatives to "cyclic-8", "one-slot" or "shuffled".'
    )


def warn_about_flops(learner: Learner, store: CohortStore, task: Pretraining) -> None:
    """Log a warning if the objective costs more than the encoders."""
    of_objective = learner.objective.flops(
        task.batch_size, modalities=len(task.modalities), dim=task.dim
    )
    if of_objective is None:
        return
    text = objective_flops_warning(of_objective, encoder_flops(learner, store, task), task)
    if text:
        logging.getLogger(__name__).warning(text)
