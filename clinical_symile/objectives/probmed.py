"""ProbMED: contrast pairs of modalities by the Hellinger distance of Gaussian embeddings."""

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils.checkpoint import checkpoint

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.arguments import at_least, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.gaussians import (
    divergence_from_standard,
    split_gaussian,
    summed_scores,
)
from clinical_symile.objectives.infonce import two_way_losses
from clinical_symile.objectives.kernels.overlaps import log_overlaps
from clinical_symile.objectives.kernels.scores import (
    own_scores,
    reduce_scores,
)
from clinical_symile.objectives.loss import Loss, sum_of_terms
from clinical_symile.objectives.pairs import complete_pairs, rows_of

_EPSILON = 1e-8  # added to H² under the root, whose slope is infinite at 0
_TILE_CELLS = 2**14  # more would only take memory: `log_overlaps` goes through blocks of rows


def hellinger_similarity(
    left: Sequence[Tensor],
    right: Sequence[Tensor],
    parameters: Sequence[Tensor],
    *,
    per_dim: bool,
) -> Float[Tensor, "left right"]:
    """Compute scale · (1 - H) of every pair, with H the Hellinger distance of two Gaussians.

    H² = 1 - BC, with ln BC from `log_overlaps`.

    Args:
        left: means and log variances.
        right: means and log variances.
        parameters: the scale.
        per_dim: divide ln BC by the number of dimensions, of which BC is a product.
    """
    (scale,) = parameters
    found = log_overlaps(*left, *right)
    if per_dim:
        found = found / left[0].shape[1]
    squared = -torch.expm1(found.clamp(max=0))
    return scale * (1 - (squared + _EPSILON).sqrt())


def hellinger_loss(
    first: Float[Tensor, "sample width"],
    second: Float[Tensor, "sample width"],
    logit_scale: Float[Tensor, ""],
    *,
    per_dim: bool = False,
) -> Float[Tensor, ""]:
    """Compute the mean of both directions' cross-entropies of 1 - H.

    Args:
        first: means and log variances of one modality.
        second: those of another modality.
        logit_scale: the multiplier of 1 - H.
        per_dim: see `hellinger_similarity`.
    """
    score = partial(hellinger_similarity, per_dim=per_dim)
    left, right = list(split_gaussian(first)), list(split_gaussian(second))
    found = reduce_scores(score, left, right, [logit_scale], tile_cells=_TILE_CELLS)
    own = own_scores(score, left, right, [logit_scale])
    return ((found.rows + found.columns) / 2 - own).mean()


def sampled_loss(
    z: Float[Tensor, "sample width"],
    first_noise: Float[Tensor, "sample dim"],
    second_noise: Float[Tensor, "sample dim"],
    logit_scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Compute CLIP's loss between two samples of each Gaussian, scaled to length 1.

    Args:
        z: means and log variances of one modality.
        first_noise: standard normal numbers.
        second_noise: standard normal numbers.
        logit_scale: the multiplier of inner products.
    """
    means, logs = split_gaussian(z)
    deviation = (logs / 2).exp()
    first, second = (normalize(means + deviation * e) for e in (first_noise, second_noise))
    return torch.cat(two_way_losses(first, second, logit_scale)).mean()


class ProbMed(Objective):
    """Contrast pairs of modalities by the Hellinger distance of Gaussian embeddings.

    Three terms: the cross-entropies of 1 - H over pairs; for each modality, CLIP's loss between two
    samples of each Gaussian; and the divergence of the Gaussians from the standard one.

    Source: Gao et al., "ProbMED: A Probabilistic Framework for Medical Multimodal Binding", ICCV
    2025, https://arxiv.org/abs/2505.24711. From its abstract and a summary: the weights of the two
    further terms are ours, and all pairs are contrasted instead of a random one.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        sample_weight: the weight of the samples' term.
        divergence_weight: the weight of the divergence.
        per_dim: divide the exponent of BC by the width, for wide embeddings.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: a weight is negative, no two samples have the same two modalities, or there is
            no generator.
    """

    display_name = "ProbMED"
    description = "Contrasts pairs of modalities by the Hellinger distance of Gaussian embeddings."
    source = (
        'Gao et al., "ProbMED: A Probabilistic Framework for Medical Multimodal Binding", ICCV '
        "2025, https://arxiv.org/abs/2505.24711"
    )
    spread = True

    def __init__(
        self,
        *,
        temperature: float = 0.1,
        sample_weight: float = 1.0,
        divergence_weight: float = 1e-4,
        per_dim: bool = False,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(at_least(0, sample_weight=sample_weight, divergence_weight=divergence_weight))
        self.sample_weight, self.divergence_weight = sample_weight, divergence_weight
        self.per_dim = per_dim

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Loss:
        """Add the three terms; the noise of the samples is drawn from `generator`."""
        scale = self.logit_scale.to(z.dtype)
        pairs = [
            hellinger_loss(pair.first, pair.second, scale, per_dim=self.per_dim)
            for pair in complete_pairs(z, available, objective="a ProbMED step")
        ]
        terms = {"pairs": torch.stack(pairs).mean()}
        columns = zip(z.unbind(dim=1), available.T, strict=True)
        single = [rows_of(own, has) for own, has in columns if has.sum() >= 2]
        if self.sample_weight:
            if generator is None:
                raise ValueError("ProbMED draws samples of Gaussians; expected a generator.")
            sampled = [_drawn_loss(own, generator, scale) for own in single]
            terms["samples"] = self.sample_weight * torch.stack(sampled).mean()
        divergences = [
            checkpoint(divergence_from_standard, own, use_reentrant=False) for own in single
        ]
        terms["divergence"] = self.divergence_weight * torch.stack(divergences).mean()
        return sum_of_terms(**terms)

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate width"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """Return the logarithm of the sum of 1 - H over the available modalities of the query.

        It ranks candidates as the sum does, also where Gaussians hardly overlap: there 1 - H is
        below the rounding of 1, and all candidates would be equal.
        """
        compare = partial(_log_similarity, self.per_dim)
        return summed_scores(query, candidates, target=target, compare=compare, logs=True)


def _log_similarity(per_dim: bool, first: Tensor, second: Tensor) -> Tensor:
    """Compute ln(1 - H) of every pair, as ln BC - ln(1 + H)."""
    overlaps = log_overlaps(*split_gaussian(first), *split_gaussian(second)).clamp(max=0)
    if per_dim:
        overlaps = overlaps / (first.shape[1] // 2)
    return overlaps - (-torch.expm1(overlaps)).sqrt().log1p()


def _drawn_loss(z: Tensor, generator: torch.Generator, scale: Tensor) -> Tensor:
    """Compute `sampled_loss` with drawn noise; backward draws the same noise again."""
    seed = int(torch.randint(2**62, (1,), generator=generator))

    def loss(z: Tensor, scale: Tensor) -> Tensor:
        drawn = torch.Generator().manual_seed(seed)
        shape = (len(z), z.shape[1] // 2)
        first, second = (
            torch.randn(shape, generator=drawn, dtype=z.dtype).to(z.device) for _ in range(2)
        )
        return sampled_loss(z, first, second, scale)

    return checkpoint(loss, z, scale, use_reentrant=False)
