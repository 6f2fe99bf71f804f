"""Parameter groups and learning rate of the optimiser."""

import math
from typing import Any

from torch import nn

from clinical_symile.config.tasks.pretraining import Optimiser


def parameter_groups(module: nn.Module, optimiser: Optimiser) -> list[dict[str, Any]]:
    """Divide parameters into decayed weight matrices and undecayed gains, biases and the like.

    The logit scale and the substitutes of missing modalities are not decayed either. A teacher's
    parameters are in neither group.
    """
    decayed, kept = [], []
    for name, parameter in module.named_parameters():
        if name.startswith("teacher."):
            continue
        is_layer = parameter.ndim >= 2 and not name.endswith("substitute")
        (decayed if is_layer else kept).append(parameter)
    return [
        {"params": decayed, "weight_decay": optimiser.weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]


def learning_rate(optimiser: Optimiser, step: int, steps: int) -> float:
    """Return the learning rate of a step: linear warm-up, then half a cosine down to zero."""
    warmup = optimiser.warmup_fraction * steps
    if step < warmup:
        return optimiser.learning_rate * (step + 1) / (warmup + 1)
    share = (step - warmup) / max(steps - warmup, 1)
    return optimiser.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
