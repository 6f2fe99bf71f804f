"""PMRL: make the leading singular value of a sample's embeddings the only one."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.arguments import positive, refuse
from clinical_symile.objectives.base import Objective, as_given
from clinical_symile.objectives.exact_products import exact_inner_products, queries_by_pattern
from clinical_symile.objectives.infonce import one_way_losses
from clinical_symile.objectives.loss import Loss, sum_of_terms
from clinical_symile.objectives.slots import modality_counts

_TIE = 1e-9  # absolute inner products this close count as equal
_EPSILON = 1e-12  # under the root of an eigenvalue: its slope is infinite at 0


def leading_directions(
    z: Float[Tensor, "sample modality dim"], counts: Int[Tensor, " sample"]
) -> tuple[Float[Tensor, "sample modality"], Float[Tensor, "sample dim"]]:
    """Return the singular values of each sample's embeddings, and the leading direction.

    The direction is oriented so that the inner product with the largest absolute value is
    positive; among equals, that of the first modality.

    Gradients follow from perturbation theory of the Gram matrix G: dλ = vᵀ dG v, and the leading
    eigenvector moves by (λ - G)⁺ dG v. They are finite also where other eigenvalues coincide,
    unlike those of a general decomposition.

    Args:
        z: embeddings, zero where unavailable.
        counts: the number of available modalities of each sample.

    Returns:
        The singular values, largest first and -inf for those that a sample does not have, and unit
        vectors.
    """
    gram = z @ z.mT
    values, vectors = torch.linalg.eigh(gram.detach())
    values, vectors = values.flip(-1), vectors.flip(-1)
    moved = torch.einsum("nik,nij,njk->nk", vectors, gram, vectors)
    singular = (moved.clamp(min=0) + _EPSILON).sqrt()
    missing = torch.arange(z.shape[1], device=z.device) >= counts[:, None]
    first, leading = vectors[..., 0], values[..., :1]
    gaps = leading - values
    inverse = torch.where(gaps > 1e-12, 1 / gaps.clamp(min=1e-12), torch.zeros_like(gaps))
    step = torch.einsum("nij,nj->ni", gram, first)
    coordinates = torch.einsum("nik,ni->nk", vectors, step) * inverse
    coordinates = torch.cat([torch.zeros_like(coordinates[:, :1]), coordinates[:, 1:]], dim=1)
    # The value of the correction is 0; its gradient is that of the eigenvector.
    correction = coordinates - coordinates.detach()
    weights = first + torch.einsum("nik,nk->ni", vectors, correction)
    size = first.abs()
    largest = (size >= size.max(dim=1, keepdim=True).values - _TIE).int().argmax(dim=1)
    sign = first.gather(1, largest[:, None]).sign()
    direction = torch.einsum("sm,smd->sd", weights * sign, z) / singular[:, :1]
    return singular.masked_fill(missing, -torch.inf), direction


class Pmrl(Objective):
    """Push the embeddings of a sample onto one line, and the lines of samples apart.

    With s the singular values of a sample's embeddings and u their leading direction, the loss is
    the mean of log Σ exp(s / τ₁) - s₁ / τ₁, plus the cross-entropy of finding a sample among all by
    ⟨u_i, u_j⟩ / τ₂. A sample needs two modalities; those it lacks have no singular value.

    `score` is the leading singular value of the query's modalities and a candidate; it does not
    know signs.

    Source: Liu et al., "Principled Multimodal Representation Learning", 2025,
    https://arxiv.org/abs/2507.17343. The direction's sign, which the authors leave to the
    decomposition, is defined by `leading_directions`.

    Args:
        temperature: starting value of τ₂, which is then learned as 1 / logit_scale.
        singular_temperature: τ₁.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: fewer than two samples of the batch have two modalities, or τ₁ is not positive.
    """

    display_name = "PMRL"
    description = "Makes the leading singular value of a sample's embeddings dominate."
    source = (
        'Liu et al., "Principled Multimodal Representation Learning", 2025, '
        "https://arxiv.org/abs/2507.17343"
    )
    on_sphere = True

    def __init__(
        self,
        *,
        temperature: float = 0.1,
        singular_temperature: float = 0.05,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(positive(singular_temperature=singular_temperature))
        self.singular_temperature = singular_temperature

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Loss:
        """Add the two terms of `terms`."""
        alignment, directions = self.terms(z, available)
        return sum_of_terms(alignment=alignment, directions=directions)

    def terms(
        self, z: Float[Tensor, "sample modality dim"], available: Bool[Tensor, "sample modality"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Compute the term of singular values and the term of directions."""
        counts = modality_counts(available, objective="a PMRL step")
        several = counts >= 2
        singular, directions = leading_directions(z[several], counts[several])
        logits = singular / self.singular_temperature
        aligned = (logits.logsumexp(dim=1) - logits[:, 0]).mean()
        scale = self.logit_scale.to(z.dtype)
        return aligned, one_way_losses(directions, directions, scale).mean()

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate dim"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """Compute the leading singular value of a candidate with the query's modalities.

        Raises:
            ValueError: a query has no modality available.
        """
        scores = candidates.new_zeros(len(query.rows), len(candidates), dtype=torch.float64)
        right = candidates.double()
        own = right.square().sum(dim=1)
        for rows, others in queries_by_pattern(query, target=target):
            grams = others @ others.mT
            for at, dots in exact_inner_products(others, right):
                some, count, size = dots.shape
                matrix = dots.new_empty(some, count, size + 1, size + 1)
                matrix[..., 0, 0] = own
                matrix[..., 0, 1:] = matrix[..., 1:, 0] = dots
                matrix[..., 1:, 1:] = grams[at, None]
                leading = torch.linalg.eigvalsh(matrix)[..., -1]
                scores[rows[at]] = leading.clamp(min=0).sqrt()
        return as_given(scores, candidates)
