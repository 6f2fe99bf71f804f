"""MedCLIP: targets follow the similarity of labels, so that recordings need not be paired."""

from collections.abc import Sequence
from itertools import combinations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from clinical_symile.objectives.arguments import one_of, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.infonce import two_way_soft_loss
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.kernels.soft_targets import Targets
from clinical_symile.objectives.slots import FewSamplesError

_SIMILARITIES = ("dot", "cosine")


def medclip_loss(
    first: Float[Tensor, "first dim"],
    second: Float[Tensor, "second dim"],
    first_labels: Float[Tensor, "first label"],
    second_labels: Float[Tensor, "second label"],
    logit_scale: Float[Tensor, ""],
    *,
    label_similarity: str = "dot",
) -> Float[Tensor, ""]:
    """Compute the mean of both directions' cross-entropies with targets softmax(⟨l_i, l_j⟩).

    The sides need not have the same samples, nor as many.

    Source: Wang et al., "MedCLIP: Contrastive Learning from Unpaired Medical Images and Text",
    EMNLP 2022, https://arxiv.org/abs/2210.10163. The inner product of labels is that of the
    authors' code; the cosine was not checked against the text of the paper.

    Args:
        first: embeddings of one modality.
        second: embeddings of another modality.
        first_labels: 1 positive, -1 uncertain, 0 negative or unknown.
        second_labels: likewise.
        logit_scale: the multiplier of inner products.
        label_similarity: "dot" or "cosine".
    """
    if label_similarity == "cosine":
        first_labels, second_labels = normalize(first_labels), normalize(second_labels)
    targets = Targets(_label_product, [first_labels], [second_labels])
    return two_way_soft_loss(first, second, logit_scale, targets, targets.transposed())


class MedClip(Objective):
    """Contrast every pair of modalities with targets by the similarity of labels.

    A recording takes part with its own labels, also where the other modality of the pair is
    missing. A sample whose labels are all unknown takes no part.

    Source: see `medclip_loss`.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        label_similarity: "dot" as in the authors' code, or "cosine" as in the paper.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: the similarity is unknown, or no pair of modalities has two labelled samples
            on each side.
    """

    display_name = "MedCLIP"
    description = "Contrasts pairs of modalities with targets by the similarity of labels."
    source = (
        'Wang et al., "MedCLIP: Contrastive Learning from Unpaired Medical Images and Text", '
        "EMNLP 2022, https://arxiv.org/abs/2210.10163"
    )
    reads = ("labels",)

    def __init__(
        self,
        *,
        temperature: float = 0.07,
        label_similarity: str = "dot",
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(one_of(_SIMILARITIES, label_similarity=label_similarity))
        self.label_similarity = label_similarity

    def informed_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        inputs: ObjectiveInput,
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Average `medclip_loss` over pairs of modalities with two labelled samples on each side.

        Raises:
            ValueError: there is no such pair.
        """
        unknown = inputs.labels.isnan()
        labels = torch.where(unknown, 0.0, inputs.labels).to(z.dtype)
        usable = available & ~unknown.all(dim=1, keepdim=True)
        losses = []
        for a, b in combinations(range(z.shape[1]), 2):
            of_a, of_b = usable[:, a], usable[:, b]
            if min(of_a.sum(), of_b.sum()) < 2:
                continue
            losses.append(
                medclip_loss(
                    z[of_a, a],
                    z[of_b, b],
                    labels[of_a],
                    labels[of_b],
                    self.logit_scale.to(z.dtype),
                    label_similarity=self.label_similarity,
                )
            )
        if not losses:
            raise FewSamplesError(
                "a MedCLIP step needs two modalities with at least 2 labelled samples each; this "
                f"batch of {len(z)} has {int((~unknown.all(dim=1)).sum())} labelled samples.",
                "Raise batch_size, or name labels that more samples have.",
            )
        return torch.stack(losses).mean()


def _label_product(
    left: Sequence[Tensor], right: Sequence[Tensor], parameters: Sequence[Tensor]
) -> Tensor:
    """Compute the inner products of labels."""
    del parameters
    return left[0] @ right[0].T
