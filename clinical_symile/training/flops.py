"""Count the floating-point operations of a training step: its objective and its encoders."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.loader import load_batch
from clinical_symile.data.store import CohortStore
from clinical_symile.training.learner import Learner

_COUNTED_SAMPLES = 2
# Products that are added to a tensor in place have the formulas of those that are not.
_IN_PLACE = {
    torch.ops.aten.addmm_: torch.ops.aten.addmm,
    torch.ops.aten.baddbmm_: torch.ops.aten.baddbmm,
}


class FlopCounter(TorchDispatchMode):
    """Count operations like PyTorch's own counter, in total instead of by module.

    Multiplications of matrices, convolutions and fused attention count, by PyTorch's formulas;
    those that are added in place, which PyTorch's counter leaves out, count too. The operations run
    as they would without the counter, on the same numbers.

    Args:
        parameters: those of which `parameters_read` says how many were read.
    """

    def __init__(self, parameters: Iterable[nn.Parameter] = ()):
        super().__init__()
        self.total = 0
        self._unread: dict[int, list[int]] = defaultdict(list)
        self._read = 0
        for parameter in parameters:
            self._unread[_place(parameter)].append(parameter.numel())

    @property
    def parameters_read(self) -> int:
        """The number of values of the parameters that an operation has read."""
        return self._read

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        kind = func._overloadpacket
        count: Callable[..., int] | None = flop_registry.get(_IN_PLACE.get(kind, kind))
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=found)
        if self._unread:
            for value in tree_leaves((args, kwargs or {})):
                if isinstance(value, Tensor):
                    self._read += sum(self._unread.pop(_place(value), ()))
        return found


def _place(tensor: Tensor) -> int:
    """Return the place of a tensor's values in memory, which its views share."""
    return tensor.untyped_storage().data_ptr()


@dataclass(frozen=True)
class EncodingCount:
    """The operations and parameters that embedding a complete sample takes.

    Attributes:
        flops: floating-point operations of the forward pass.
        parameters: the number of parameters that it reads.
    """

    flops: int
    parameters: int


def count_encoding(learner: Learner, store: CohortStore, task: Pretraining) -> EncodingCount:
    """Count what embedding a complete sample takes, in evaluation mode, on the CPU.

    Two samples of the tuning split are encoded. The state of the learner and of random generators
    stays as it is.
    """
    rows = store.complete_rows("tuning", task.modalities)[:_COUNTED_SAMPLES]
    batch = load_batch(store, rows, modalities=task.modalities)
    training = [module for module in learner.model.modules() if module.training]
    learner.model.eval()
    with torch.no_grad(), FlopCounter(learner.model.parameters()) as counter:
        learner.model(batch)
    for module in training:
        module.training = True
    return EncodingCount(counter.total // len(rows), counter.parameters_read)


def encoder_flops(encoding: EncodingCount, task: Pretraining) -> float:
    """Return the operations of a step's encoders, forward and backward, on complete samples.

    The backward pass takes twice the operations of the forward pass.
    """
    return 3.0 * encoding.flops * task.batch_size


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


def warn_about_flops(learner: Learner, encoding: EncodingCount, task: Pretraining) -> None:
    """Log a warning if the objective costs more than the encoders."""
    of_objective = learner.objective.flops(
        task.batch_size, modalities=len(task.modalities), dim=task.dim
    )
    if of_objective is None:
        return
    text = objective_flops_warning(of_objective, encoder_flops(encoding, task), task)
    if text:
        logging.getLogger(__name__).warning(text)
