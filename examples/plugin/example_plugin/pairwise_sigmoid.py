"""Contrast every pair of modalities by a sigmoid loss."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.pairs import complete_pairs


class PairwiseSigmoid(Objective):
    """Classify each pair of embeddings of two modalities as matched or not.

    A sample takes part in the pairs of the modalities that it has. The loss has no softmax over the
    batch, so samples do not compete.

    Source: Zhai et al., "Sigmoid Loss for Language Image Pre-Training", ICCV 2023, section 3.2.
    https://arxiv.org/abs/2303.15343

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        bias: starting value of the learned bias, which makes up for the many unmatched pairs.

    Raises:
        ValueError: the temperature is not positive.
    """

    display_name = "pairwise sigmoid"
    description = "Contrasts every pair of modalities by a sigmoid loss."
    source = (
        'Zhai et al., "Sigmoid Loss for Language Image Pre-Training", ICCV 2023, '
        "https://arxiv.org/abs/2303.15343"
    )

    def __init__(self, *, temperature: float = 0.1, bias: float = -10.0):
        super().__init__(temperature=temperature, logit_scale_max=100.0)
        self.bias = torch.nn.Parameter(torch.tensor(bias))

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Compute the mean loss over the pairs of modalities; nothing is random."""
        losses = []
        for pair in complete_pairs(z, available, objective="a sigmoid step"):
            logits = self.logit_scale * pair.first @ pair.second.T + self.bias
            sign = 2 * torch.eye(len(logits), device=z.device, dtype=z.dtype) - 1
            losses.append(-logsigmoid(sign * logits).sum(dim=1).mean())
        return torch.stack(losses).mean()
