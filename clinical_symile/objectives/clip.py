"""CLIP for any number of modalities: contrast every pair of them."""

from math import comb

import torch
from jaxtyping import Float
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.distributed import Group
from clinical_symile.objectives.infonce import check_reduction, clip_loss
from clinical_symile.objectives.kernels.base import check_matmul
from clinical_symile.objectives.replacements import loss_with_replacements


class Clip(Objective):
    """Contrast every pair of modalities.

    A sample takes part in the pairs of the modalities that it has. In `score`, the sum leaves out
    a missing query modality.

    Source: see `clip_loss`.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        reduction: "mean" or "sum" over the pairs.
        logit_scale_max: limit of the learned scale; 100 as in CLIP, section 2.5. `inf` for none, as
            in the experiments of Symile's authors.
        matmul: precision of float32 products: "highest", "high" or "medium", as PyTorch names them.

    Raises:
        ValueError: no two samples of the batch have the same two modalities.
    """

    display_name = "CLIP"
    description = "Contrasts every pair of modalities."
    source = (
        'Radford et al., "Learning Transferable Visual Models From Natural Language '
        'Supervision", 2021, https://arxiv.org/abs/2103.00020'
    )

    def __init__(
        self,
        *,
        temperature: float = 0.07,
        reduction: str = "mean",
        logit_scale_max: float = 100.0,
        matmul: str = "highest",
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        check_reduction(reduction)
        check_matmul(matmul)
        self.reduction = reduction
        self.matmul = matmul

    def distributed_loss(
        self, share: Embeddings, *, group: Group, generator: torch.Generator | None = None
    ) -> Float[Tensor, ""]:
        """Compute the loss of the whole batch; each process its own rows, nothing is random."""
        if share.fill is not None:
            return loss_with_replacements(self, share, group=group, generator=generator)
        return self._loss(share, group=group)

    def target_loss(
        self,
        share: Embeddings,
        *,
        target: int,
        group: Group,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Compute the loss of the pairs with a modality; see `TargetedObjective`.

        A sum over pairs is halved in the mean over targets, since each pair has two of them.
        """
        loss = self._loss(share, group=group, only=target)
        return loss * (len(share.modalities) / 2) if self.reduction == "sum" else loss

    def _loss(
        self, share: Embeddings, *, group: Group, only: int | None = None
    ) -> Float[Tensor, ""]:
        z, available = share.with_substitutes()
        return clip_loss(
            z,
            self.logit_scale,
            available=available,
            reduction=self.reduction,
            matmul=self.matmul,
            group=group,
            only=only,
        )

    def flops(self, samples: int, *, modalities: int, dim: int) -> float | None:
        """Count the floating-point operations of a step's loss and gradients, complete batch."""
        return 8.0 * comb(modalities, 2) * samples**2 * dim
