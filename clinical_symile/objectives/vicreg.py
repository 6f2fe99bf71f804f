"""The terms of VICReg: invariance, variance and covariance of two sets of vectors."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, repr=False)
class VicregTerms:
    """The terms of VICReg, without weights.

    Attributes:
        invariance: the mean squared difference of paired numbers.
        variance: for both sets, how far standard deviations are below `gamma`, averaged over
            numbers of a vector, and added.
        covariance: for both sets, the squared covariances of different numbers, added and divided
            by the width.
    """

    invariance: Float[Tensor, ""]
    variance: Float[Tensor, ""]
    covariance: Float[Tensor, ""]


def vicreg_terms(
    left: Float[Tensor, "sample dim"],
    right: Float[Tensor, "sample dim"],
    *,
    gamma: float = 1.0,
    epsilon: float = 1e-4,
) -> VicregTerms:
    """Compute the terms for two sets of at least two paired vectors.

    Source: Bardes, Ponce, LeCun, "VICReg: Variance-Invariance-Covariance Regularization for
    Self-Supervised Learning", ICLR 2022, equations 1 to 5, https://arxiv.org/abs/2105.04906.
    Memory grows with the square of the samples, not of the width.

    Args:
        left: the first vector of each pair.
        right: the second vector.
        gamma: the standard deviation that is wanted.
        epsilon: added to a variance before its root.
    """
    parts = [_spread_terms(vectors, gamma, epsilon) for vectors in (left, right)]
    (first_variance, first_covariance), (second_variance, second_covariance) = parts
    return VicregTerms(
        invariance=(left - right).square().mean(),
        variance=first_variance + second_variance,
        covariance=first_covariance + second_covariance,
    )


def _spread_terms(
    vectors: Float[Tensor, "sample dim"], gamma: float, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Return the variance and the covariance term of one set."""
    centred = vectors - vectors.mean(dim=0)
    variances = centred.square().sum(dim=0) / (len(vectors) - 1)
    below = (gamma - (variances + epsilon).sqrt()).clamp(min=0).mean()
    # The squared entries of X'X and of XX' have the same sum.
    every = (centred @ centred.T).square().sum() / (len(vectors) - 1) ** 2
    return below, (every - variances.square().sum()) / vectors.shape[1]
