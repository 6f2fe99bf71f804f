"""Train with replacements of missing modalities that depend on what a sample has.

A score hides its target before replacements are made. A loss that made them of all that a sample
has could match a target with a copy of itself. So each target has replacements of its own here, and
the loss is the mean over targets.
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.distributed import Group
from clinical_symile.objectives.slots import FewSamplesError


@runtime_checkable
class TargetedObjective(Protocol):
    """Protocol of an objective whose loss is a mean of parts, each of one target modality."""

    def target_loss(
        self,
        share: Embeddings,
        *,
        target: int,
        group: Group,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Compute the part of the loss in which a modality is the one to retrieve.

        In a batch without replacements, the mean over targets is the loss.

        Args:
            share: this process's samples, without `fill`.
            target: the column of the modality.
            group: the processes; None for one process.
            generator: the source of random draws, in the same state in all processes.

        Raises:
            FewSamplesError: the whole batch has too few samples with the target.
        """
        ...


def loss_with_replacements(
    objective: TargetedObjective,
    share: Embeddings,
    *,
    group: Group,
    generator: torch.Generator | None,
) -> Float[Tensor, ""]:
    """Average the parts of the loss over targets, each with replacements made without its target.

    A target that too few samples of the batch have is left out. The work is that of the loss for
    each modality.

    Raises:
        FewSamplesError: no target has enough samples.
    """
    losses, lacking = [], []
    for target, name in enumerate(share.modalities):
        try:
            losses.append(
                objective.target_loss(
                    share.filled_for(name), target=target, group=group, generator=generator
                )
            )
        except FewSamplesError as error:  # raised by all processes, or by none
            lacking.append(error)
    if not losses:
        raise lacking[0]
    return torch.stack(losses).mean()
