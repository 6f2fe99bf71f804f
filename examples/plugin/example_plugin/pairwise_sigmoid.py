"""Contrast every pair of modalities by a sigmoid loss."""

from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.base import (
    Objective,
    inner_products,
    no_pair_message,
    prepare_slots,
    query_embeddings,
)


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

    def forward(
        self, embeddings: Embeddings, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, ""]:
        """Compute the mean loss over the pairs of modalities; nothing is random.

        Raises:
            ValueError: no two samples have the same two modalities.
        """
        del generator
        z, available = prepare_slots(*embeddings.with_substitutes())
        losses = []
        for a, b in combinations(range(z.shape[1]), 2):
            both = available[:, a] & available[:, b]
            if both.sum() < 2:
                continue
            logits = self.logit_scale * z[both, a] @ z[both, b].T + self.bias
            sign = 2 * torch.eye(len(logits), device=z.device, dtype=z.dtype) - 1
            losses.append(-logsigmoid(sign * logits).sum(dim=1).mean())
        if not losses:
            raise ValueError(no_pair_message(len(z), objective="a sigmoid step"))
        return torch.stack(losses).mean()

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate dim"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """Sum the inner products of a candidate with each available modality of the query."""
        total = query_embeddings(query, target=target, fill=0.0).sum(dim=1)
        return inner_products(total, candidates)

    def n_candidates(self, samples: int, *, modalities: int) -> int | None:
        """None: this loss does not estimate the total correlation."""
        return None
