"""Losses of objectives in float64, with a check of what every loss owes to missing slots."""

import math
from typing import TypeVar

import torch
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.side_information import SideInformation
from clinical_symile.evaluation.leak_checks.fixtures import TOY_LABELS, toy_input
from clinical_symile.objectives.base import Objective
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import OBJECTIVES

MODALITIES = ("cxr", "ecg", "labs", "notes")
# Those that score candidates; supervised ones predict labels.
SCORING = sorted(name for name in OBJECTIVES if resolve(name, OBJECTIVES).retrieves)
ROWS = 64  # of the store whose samples an objective may keep estimates of


def registered(name: str, *, modalities: tuple[str, ...] = MODALITIES[:3], dim: int) -> Objective:
    """An objective of the registry in float32, ready for embeddings of a width."""
    objective = resolve(name, OBJECTIVES)()
    objective.label_names = TOY_LABELS
    objective.connect(
        modalities=modalities, dim=dim, norm="l2", generator=torch.Generator().manual_seed(0)
    )
    objective.begin_training(rows=ROWS, batch_size=1)
    return objective


Some = TypeVar("Some", bound=Objective)


def connected(objective: Some, *, modalities: int = 3, dim: int = 4) -> Some:
    """The objective in float64, ready for embeddings of a width."""
    objective.label_names = objective.label_names or TOY_LABELS
    objective.connect(
        modalities=MODALITIES[:modalities],
        dim=dim,
        norm="l2",
        generator=torch.Generator().manual_seed(0),
    )
    objective.begin_training(rows=ROWS, batch_size=1)
    return objective.double()


def loss_value(
    objective: Objective,
    z: Tensor,
    available: Tensor | None = None,
    *,
    temperature: float | None = None,
    **side: Tensor,
) -> float:
    """The loss of a batch; missing slots hold NaN, and their gradient must be 0.

    A parameter starts in float32; `temperature` sets the scale exactly. `labels`, `subjects` and
    `values` are the side information.
    """
    if available is None:
        available = torch.ones(z.shape[:2], dtype=torch.bool)
    if temperature is not None:
        assert objective.log_logit_scale is not None
        with torch.no_grad():
            objective.log_logit_scale.copy_(
                torch.tensor(-math.log(temperature), dtype=torch.float64)
            )
    slots = torch.where(available[:, :, None], z.detach(), torch.nan).requires_grad_()
    rows, names = torch.arange(len(z)), MODALITIES[: z.shape[1]]
    batch = Embeddings(slots, available, names, rows, spread=objective.spread)
    inputs = toy_input(objective, batch, SideInformation(batch.rows, **side))
    drawn = torch.Generator().manual_seed(0)
    loss = objective.training_loss(inputs, group=None, generator=drawn).total
    loss.backward()
    assert slots.grad is not None
    assert torch.isfinite(slots.grad).all()
    assert (slots.grad[~available] == 0).all()
    return loss.item()


def toy_loss(
    objective: Objective, batch: Embeddings, generator: torch.Generator | None = None
) -> Tensor:
    """The loss of a batch with toy side information of every kind, and toy views."""
    inputs = toy_input(objective, batch)
    return objective.training_loss(inputs, group=None, generator=generator).total


def unit_batch(rng, samples: int, modalities: int = 3, dim: int = 4) -> Tensor:
    """Random vectors of length 1, [sample, modality, dim]."""
    z = torch.from_numpy(rng.standard_normal((samples, modalities, dim)))
    return torch.nn.functional.normalize(z, dim=2)
