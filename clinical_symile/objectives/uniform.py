"""CLIP with alignment and uniformity, and decoupled uniformity of samples' centroids."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.alignment_terms import alignment_loss, uniformity_loss
from clinical_symile.objectives.arguments import positive, refuse
from clinical_symile.objectives.base import (
    Objective,
    as_given,
    query_availability,
    query_embeddings,
)
from clinical_symile.objectives.infonce import clip_loss
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.loss import Loss, sum_of_terms
from clinical_symile.objectives.pairs import complete_pairs
from clinical_symile.objectives.similarity import (
    check_similar_by,
    log_weights,
    side_vectors,
    similarity_tensors,
    smoother,
)
from clinical_symile.objectives.slots import modality_counts


class ClipUniform(Objective):
    """CLIP, and terms that close the gap between modalities.

    The loss is the mean over pairs of modalities of CLIP's cross-entropy, the alignment of partners
    and, with `across`, cross-modal uniformity, plus the mean over modalities of uniformity. A pair
    uses the samples that have both, a modality those that have it; each needs two.

    Source: Fahim et al., "It's Not a Modality Gap: Characterizing and Addressing the Contrastive
    Gap", 2024, https://arxiv.org/abs/2405.18570, all weights 1.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        across: add cross-modal uniformity.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: no two samples of the batch have the same two modalities.
    """

    display_name = "CLIP with uniformity"
    description = "CLIP with alignment and uniformity, against the gap between modalities."
    source = (
        "Fahim et al., \"It's Not a Modality Gap: Characterizing and Addressing the Contrastive "
        'Gap", 2024, https://arxiv.org/abs/2405.18570'
    )
    on_sphere = True

    def __init__(
        self, *, temperature: float = 0.07, across: bool = True, logit_scale_max: float = 100.0
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        self.across = across

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Loss:
        """See the class."""
        parts: dict[str, list[Tensor]] = {"contrast": [], "alignment": []}
        parts |= {"cross_uniformity": []} if self.across else {}
        for pair in complete_pairs(z, available, objective="a step of CLIP with uniformity"):
            both = torch.stack([pair.first, pair.second], dim=1)
            parts["contrast"].append(clip_loss(both, self.logit_scale))
            parts["alignment"].append(alignment_loss(pair.first, pair.second))
            if self.across:
                parts["cross_uniformity"].append(uniformity_loss(pair.first, pair.second))
        columns = [z[has, m] for m, has in enumerate(available.T)]
        parts["uniformity"] = [uniformity_loss(own, own) for own in columns if len(own) >= 2]
        return sum_of_terms(**{name: torch.stack(some).mean() for name, some in parts.items()})


class DecoupledUniformity(Objective):
    """Spread the centroids of samples evenly over the sphere.

    The loss is the log of the mean of exp(-factor ‖μ_i - μ_j‖²) over pairs of samples; μ_i is the
    mean of the sample's embeddings. Centroids far apart need embeddings of one sample that agree.
    A sample with one modality is its own centroid.

    `score` is -‖mean of the query's embeddings - candidate‖².

    Source: Dufumier et al., "Integrating Prior Knowledge in Contrastive Learning with Kernel",
    ICML 2023, https://arxiv.org/abs/2206.01646, without the kernel of prior knowledge, which
    `KernelUniformity` has.

    Args:
        factor: the factor of squared distances.

    Raises:
        ValueError: fewer than two samples have two modalities, or the factor is not positive.
    """

    display_name = "decoupled uniformity"
    description = "Spreads the centroids of samples over the sphere."
    source = (
        'Dufumier et al., "Integrating Prior Knowledge in Contrastive Learning with Kernel", '
        "ICML 2023, https://arxiv.org/abs/2206.01646"
    )
    on_sphere = True

    def __init__(self, *, factor: float = 2.0):
        super().__init__(temperature=None)
        refuse(positive(factor=factor))
        self.factor = factor

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """See the class."""
        centroids, _ = self._centroids(z, available)
        return uniformity_loss(centroids, centroids, factor=self.factor)

    def _centroids(
        self, z: Float[Tensor, "sample modality dim"], available: Bool[Tensor, "sample modality"]
    ) -> tuple[Float[Tensor, "centroid dim"], Bool[Tensor, " sample"]]:
        """Return the centroid of each sample that has a modality, and which samples these are.

        Raises:
            ValueError: fewer than two samples have two modalities.
        """
        counts = modality_counts(available, objective="a step of decoupled uniformity")
        has = counts > 0
        return z[has].sum(dim=1) / counts[has, None], has

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate dim"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """Compute the negative squared distance of a candidate to the query's centroid.

        Raises:
            ValueError: a query has no modality available.
        """
        others = query_embeddings(query, target=target, fill=0.0)
        known = query_availability(query, target=target)
        centroids = others.sum(dim=1) / known.sum(dim=1)[:, None]
        right = candidates.double()
        # ‖μ‖² is the same for all candidates of a query and cannot change a rank.
        scores = 2 * centroids @ right.T - right.square().sum(dim=1)
        scores = scores - centroids.square().sum(dim=1)[:, None]
        return as_given(scores, candidates)


class KernelUniformity(DecoupledUniformity):
    """Spread centroids that are averaged over samples which prior knowledge calls similar.

    The kernel K of two samples is (1 + cosine) / 2 of what is known of both. Centroids μ become
    (K + ridge I)^-1 K μ before they are spread, the estimate of their mean given the prior
    knowledge. The weights have no gradient. With a kernel of the identity and no ridge this is
    `DecoupledUniformity`. The kernel is a matrix of all samples of the batch.

    Source: see `DecoupledUniformity`.

    Args:
        factor: the factor of squared distances.
        by: "labels" or "values": what samples are compared by, named in the task's table `side`.
        ridge: the regularization, positive.

    Raises:
        ValueError: see `DecoupledUniformity`; or the ridge or `by` is out of range.
    """

    display_name = "kernel uniformity"
    source = (
        'Dufumier et al., "Integrating Prior Knowledge in Contrastive Learning with Kernel", '
        "ICML 2023, https://arxiv.org/abs/2206.01646"
    )
    description = "Spreads the centroids of samples, averaged over similar ones."
    reads = ("values",)

    def __init__(self, *, factor: float = 2.0, by: str = "values", ridge: float = 0.01):
        super().__init__(factor=factor)
        check_similar_by(by)
        refuse(positive(ridge=ridge))
        self.reads = (by,)
        self.ridge = ridge

    def informed_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        inputs: ObjectiveInput,
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """See the class."""
        centroids, has = self._centroids(z, available)
        vectors = side_vectors(inputs, by=self.reads[0])[has].to(z.dtype)
        known = similarity_tensors(vectors, torch.arange(len(vectors), device=z.device))
        kernel = log_weights(temperature=None)(known, known, []).exp()
        averaged = smoother(kernel, self.ridge) @ centroids
        return uniformity_loss(averaged, averaged, factor=self.factor)
