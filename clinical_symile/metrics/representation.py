"""The health of a representation: alignment, uniformity, modality gap and effective rank.

All of them are of unit vectors, one per sample and modality. None says by itself whether a model is
good; a sudden change, or a rank that falls towards 1, says that something went wrong.

Sources: Wang and Isola, "Understanding contrastive representation learning through alignment and
uniformity on the hypersphere", 2020, https://arxiv.org/abs/2005.10242. Liang et al., "Mind the
gap", 2022, https://arxiv.org/abs/2203.02053. Roy and Vetterli, "The effective rank", EUSIPCO 2007.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float

# Uniformity is of all pairs; of more samples than this, the first so many are taken.
AT_MOST = 2000

Vectors = Float[np.ndarray, "sample dim"]


def alignment(one: Vectors, other: Vectors) -> float:
    """Mean squared distance of two modalities of the same sample: 0 where they agree, at most 4."""
    return float(((one - other) ** 2).sum(axis=1).mean())


def uniformity(z: Vectors) -> float:
    """The log of the mean of exp(-2 distance²) over pairs of samples.

    0 where all are one point, about -4 where they fill a sphere of many dimensions; at least -8.

    Raises:
        ValueError: fewer than two samples.
    """
    if len(z) < 2:
        raise ValueError("uniformity needs 2 samples at least; expected vectors of more of them.")
    z = z[:AT_MOST]
    squares = (z**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares - 2 * z @ z.T, 0)
    pairs = np.exp(-2 * distances[np.triu_indices(len(z), 1)])
    return float(np.log(pairs.mean()))


def modality_gap(one: Vectors, other: Vectors) -> float:
    """Distance of the mean vectors of two modalities; 0 where they share one region."""
    return float(np.linalg.norm(one.mean(axis=0) - other.mean(axis=0)))


def effective_rank(z: Vectors) -> float:
    """The exponential of the entropy of the singular values as shares of their sum.

    1 where all vectors lie on a line through 0, the dimension where all directions are used alike;
    never more than there are samples.
    """
    singular = np.linalg.svd(z, compute_uv=False)
    share = singular[singular > 0] / singular.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def representation_metrics(
    z: Float[np.ndarray, "sample modality dim"], modalities: Sequence[str]
) -> dict[str, float]:
    """Each of the four for every modality or pair, by the name under which it is logged.

    Args:
        z: of samples in which every modality is present; made unit vectors here.
        modalities: the names of the second axis.
    """
    z = z.astype(np.float64)
    z = z / np.maximum(np.linalg.norm(z, axis=2, keepdims=True), 1e-12)
    told = {}
    for (a, one), (b, other) in combinations(enumerate(modalities), 2):
        told[f"health/alignment/{one}-{other}"] = alignment(z[:, a], z[:, b])
        told[f"health/modality_gap/{one}-{other}"] = modality_gap(z[:, a], z[:, b])
    for place, name in enumerate(modalities):
        told[f"health/uniformity/{name}"] = uniformity(z[:, place])
        told[f"health/effective_rank/{name}"] = effective_rank(z[:, place])
    return told
