"""Pairwise contrasts with weights by the similarity of samples: X-CLR and CWCL."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.objectives.arguments import positive, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.infonce import two_way_losses, two_way_soft_loss
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.kernels.soft_targets import Targets, soft_target_losses
from clinical_symile.objectives.pairs import Pair, complete_pairs
from clinical_symile.objectives.similarity import (
    check_similar_by,
    log_weights,
    side_vectors,
    similarity_tensors,
)


class _PairTargets(NamedTuple):
    """A pair of modalities with the targets of its samples."""

    pair: Pair
    targets: Targets


class XClr(Objective):
    """Contrast every pair of modalities with targets by the similarity of samples.

    The target of sample i is softmax_j(G_ij / τ_s), where G is the cosine of what is known of
    both samples. Samples of which nothing is known jointly have no weight; a sample of which
    nothing is known has itself as its target.

    Source: Sobal et al., "X-Sample Contrastive Loss", 2024, https://arxiv.org/abs/2407.18134.
    The formula and its defaults were not checked against its text.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        by: "labels" or "values": what samples are compared by, named in the task's table `side`.
        similarity_temperature: τ_s.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: an argument is out of range, or no two samples have the same two modalities.
    """

    display_name = "X-CLR"
    description = "Contrasts pairs of modalities with targets by the similarity of samples."
    source = 'Sobal et al., "X-Sample Contrastive Loss", 2024, https://arxiv.org/abs/2407.18134'
    reads = ("values",)

    def __init__(
        self,
        *,
        temperature: float = 0.1,
        by: str = "values",
        similarity_temperature: float = 0.1,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        check_similar_by(by)
        refuse(positive(similarity_temperature=similarity_temperature))
        self.reads = (by,)
        self.similarity_temperature = similarity_temperature

    def informed_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        inputs: ObjectiveInput,
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Average both directions of every pair of modalities."""
        scale = self.logit_scale.to(z.dtype)
        vectors = side_vectors(inputs, by=self.reads[0])
        losses = []
        for pair, targets in _pairs_with_targets(
            z,
            available,
            vectors,
            temperature=self.similarity_temperature,
            objective="an X-CLR step",
        ):
            losses.append(two_way_soft_loss(pair.first, pair.second, scale, targets, targets))
        return torch.stack(losses).mean()


class Cwcl(Objective):
    """Contrast pairs of modalities, in one direction with weights by the similarity of samples.

    In the weighted direction, the target of sample i is w_ij / Σ_j w_ij with
    w_ij = (1 + cosine_ij) / 2 of what is known of both samples. The other direction is that of
    CLIP. Every ordered pair is weighted once, since no encoder here is frozen.

    Source: Srinivasa et al., "CWCL: Cross-Modal Transfer with Continuously Weighted Contrastive
    Loss", NeurIPS 2023, https://arxiv.org/abs/2309.14580, where a
    frozen encoder gives the similarity. The formula was not checked against its text.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        by: "labels" or "values": what samples are compared by, named in the task's table `side`.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: an argument is out of range, or no two samples have the same two modalities.
    """

    display_name = "CWCL"
    description = "Contrasts pairs of modalities, one direction weighted by similarity of samples."
    source = (
        'Srinivasa et al., "CWCL: Cross-Modal Transfer with Continuously Weighted Contrastive '
        'Loss", NeurIPS 2023, https://arxiv.org/abs/2309.14580'
    )
    reads = ("values",)

    def __init__(
        self, *, temperature: float = 0.1, by: str = "values", logit_scale_max: float = 100.0
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        check_similar_by(by)
        self.reads = (by,)

    def informed_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        inputs: ObjectiveInput,
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Average `cwcl_losses` over ordered pairs of modalities."""
        scale = self.logit_scale.to(z.dtype)
        vectors = side_vectors(inputs, by=self.reads[0])
        losses = [
            torch.stack(cwcl_losses(pair.first, pair.second, scale, targets)).mean()
            for pair, targets in _pairs_with_targets(
                z, available, vectors, temperature=None, objective="a CWCL step", ordered=True
            )
        ]
        return torch.stack(losses).mean()


def cwcl_losses(
    first: Float[Tensor, "sample dim"],
    second: Float[Tensor, "sample dim"],
    logit_scale: Float[Tensor, ""],
    targets: Targets,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Compute the weighted cross-entropy of first → second, and the plain one of second → first.

    Args:
        first: embeddings of the weighted direction's queries.
        second: embeddings of their partners.
        logit_scale: the multiplier of inner products.
        targets: the weights.
    """
    weighted, _ = soft_target_losses(first, second, logit_scale, targets)
    _, back = two_way_losses(first, second, logit_scale)
    return weighted.mean(), back.mean()


def _pairs_with_targets(
    z: Tensor,
    available: Tensor,
    vectors: Tensor,
    *,
    temperature: float | None,
    objective: str,
    ordered: bool = False,
) -> Iterator[_PairTargets]:
    """Yield pairs of modalities with targets by the similarity of their samples."""
    for pair in complete_pairs(z, available, objective=objective, ordered=ordered):
        known = similarity_tensors(vectors[pair.samples].to(z.dtype), pair.codes)
        yield _PairTargets(pair, Targets(log_weights(temperature=temperature), known, known))
