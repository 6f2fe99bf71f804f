"""Measure embeddings: alignment, uniformity, modality gap and effective rank.

Embeddings are unit vectors, one per sample and modality. No measure alone says whether a model is
good. A sudden change, or a rank that falls towards 1, points to a problem.

Sources: Wang and Isola, "Understanding contrastive representation learning through alignment and
uniformity on the hypersphere", 2020, https://arxiv.org/abs/2005.10242. Liang et al., "Mind the
gap", 2022, https://arxiv.org/abs/2203.02053. Roy and Vetterli, "The effective rank", EUSIPCO 2007.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float

# Uniformity uses all pairs of at most this many samples.
_MAX_SAMPLES = 2000

_Vectors = Float[np.ndarray, "sample dim"]


def alignment(one: _Vectors, other: _Vectors) -> float:
    """Compute the mean squared distance of two modalities of the same sample, from 0 to 4."""
    return float(((one - other) ** 2).sum(axis=1).mean())


def uniformity(z: _Vectors) -> float:
    """Compute the log of the mean of exp(-2 distance²) over pairs of samples.

    It is 0 if all are one point, about -4 if they fill a sphere of many dimensions, at least -8.

    Raises:
        ValueError: fewer than two samples.
    """
    if len(z) < 2:
        raise ValueError("uniformity needs at least 2 samples. Evaluate on more samples.")
    z = z[:_MAX_SAMPLES]
    squares = (z**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares - 2 * z @ z.T, 0)
    pairs = np.exp(-2 * distances[np.triu_indices(len(z), 1)])
    return float(np.log(pairs.mean()))


def modality_gap(one: _Vectors, other: _Vectors) -> float:
    """Compute the distance of the mean vectors of two modalities; 0 if they share one region."""
    return float(np.linalg.norm(one.mean(axis=0) - other.mean(axis=0)))


def effective_rank(z: _Vectors) -> float:
    """Compute the exponential of the entropy of the normalised singular values.

    It is 1 if all vectors lie on a line through 0, and the dimension if all directions are used
    equally. It never exceeds the number of samples.
    """
    singular = np.linalg.svd(z, compute_uv=False)
    share = singular[singular > 0] / singular.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def representation_metrics(
    z: Float[np.ndarray, "sample modality dim"], modalities: Sequence[str]
) -> dict[str, float]:
    """Compute all four measures for every modality or pair, by the names used in logs.

    Args:
        z: embeddings of samples with every modality; normalised here.
        modalities: the names of the second axis.
    """
    z = z.astype(np.float64)
    z = z / np.maximum(np.linalg.norm(z, axis=2, keepdims=True), 1e-12)
    measures: dict[str, float] = {}
    for (a, one), (b, other) in combinations(enumerate(modalities), 2):
        measures[f"health/alignment/{one}-{other}"] = alignment(z[:, a], z[:, b])
        measures[f"health/modality_gap/{one}-{other}"] = modality_gap(z[:, a], z[:, b])
    for place, name in enumerate(modalities):
        measures[f"health/uniformity/{name}"] = uniformity(z[:, place])
        measures[f"health/effective_rank/{name}"] = effective_rank(z[:, place])
    return measures
