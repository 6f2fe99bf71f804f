"""Contrast each modality with a fusion of all others, and nothing else."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.arguments import one_of, refuse
from clinical_symile.objectives.base import (
    Objective,
    inner_products,
    query_availability,
    query_embeddings,
)
from clinical_symile.objectives.infonce import one_way_losses, two_way_losses
from clinical_symile.objectives.slots import complete_samples, other_columns

_FUSIONS = ("product", "sum")


class FusedVsThird(Objective):
    """Find each modality of a sample by the fusion of its others, and the fusion by the modality.

    The fusion is the product or the sum of the embeddings of all other modalities, of length 1 if
    `normalized`. The loss is the mean over target modalities of the cross-entropy of a batch's
    fusions against its targets, averaged with the reverse direction if `both_ways`. It uses
    complete samples. With the product, not normalized and one way, it is Symile with negatives
    "one-slot".

    `score` is the inner product of a candidate with the fusion of the modalities that a query has.

    Source: Yue et al., CoAVT, 2024, https://arxiv.org/abs/2401.12264. There a
    network encodes two modalities jointly, and pairs are aligned too. This form was not checked
    against its text.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        fusion: "product" or "sum".
        normalized: scale a fusion to length 1.
        both_ways: also find the fusion by the modality.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: the fusion is unknown, or a batch has fewer than two complete samples.
    """

    display_name = "fused against third"
    description = "Contrasts each modality with a fusion of all others."
    source = "CoAVT, 2024, https://arxiv.org/abs/2401.12264"
    on_sphere = True

    def __init__(
        self,
        *,
        temperature: float = 0.07,
        fusion: str = "product",
        normalized: bool = True,
        both_ways: bool = True,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(one_of(_FUSIONS, fusion=fusion))
        self.fusion, self.normalized, self.both_ways = fusion, normalized, both_ways

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """See the class."""
        step = "a step of fusions against a third modality"
        kept = complete_samples(available, objective=step)
        complete, known = z[kept], available[kept]
        scale = self.logit_scale.to(z.dtype)
        losses = []
        for target in range(z.shape[1]):
            others = other_columns(z.shape[1], target)
            fused = self._fused(complete[:, others], known[:, others])
            right = complete[:, target]
            if self.both_ways:
                forth, back = two_way_losses(fused, right, scale)
                losses.append((forth.mean() + back.mean()) / 2)
            else:
                losses.append(one_way_losses(fused, right, scale).mean())
        return torch.stack(losses).mean()

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate dim"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """Compute the inner product of a candidate with the fusion of what a query has.

        Raises:
            ValueError: a query has no modality available.
        """
        z = query_embeddings(query, target=target, fill=0.0)
        fused = self._fused(z, query_availability(query, target=target))
        return inner_products(fused, candidates)

    def _fused(
        self, z: Float[Tensor, "sample other dim"], available: Bool[Tensor, "sample other"]
    ) -> Float[Tensor, "sample dim"]:
        """Fuse the available embeddings of each sample; a single one stays as it is."""
        if self.fusion == "product":
            fused = torch.where(available[:, :, None], z, 1.0).prod(dim=1)
        else:
            fused = torch.where(available[:, :, None], z, 0.0).sum(dim=1)
        if not self.normalized:
            return fused
        several = available.sum(dim=1) > 1
        return torch.where(several[:, None], normalize(fused, dim=1), fused)
