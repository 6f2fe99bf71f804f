"""Put a mixture of train centroids where a modality is missing."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from sklearn.cluster import KMeans
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.models.missing_modality.base import DropModality, Fill, MissingModalityMethod

_CENTROIDS = 20
_LEAST_VARIANCE = 1e-6


class Centroids(NamedTuple):
    """Clusters of train samples.

    Attributes:
        z: the mean embeddings of each cluster.
        log_share: the logarithm of its share of the samples.
        variance: the mean square distance of a number from its centroid.
    """

    z: Float[Tensor, "centroid modality dim"]
    log_share: Float[Tensor, " centroid"]
    variance: Float[Tensor, ""]


def find_centroids(train: Embeddings, seed: int, *, centroids: int) -> Centroids:
    """Cluster train samples by k-means, and let incomplete samples join the nearest centroid.

    Clusters are found among complete samples, of which there may be fewer than `centroids`. The
    centroid of a modality is then the mean over all samples of the cluster that have it. One that
    no sample of a cluster has is the mean over all train samples, and zero if none has it.

    Args:
        train: embeddings of train samples, zero where unavailable.
        seed: of the starting points.
        centroids: the number of clusters.
    """
    z, has = train.z, train.available[:, :, None]
    mean = (z * has).sum(dim=0) / has.sum(dim=0).clamp(min=1)
    complete = z[train.available.all(dim=1)]
    number = min(centroids, len(torch.unique(complete.flatten(1), dim=0)))
    if number < 2:
        means = mean[None]
    else:
        clusters = KMeans(number, n_init="auto", random_state=seed).fit(complete.flatten(1).numpy())
        means = torch.from_numpy(clusters.cluster_centers_).to(z).unflatten(1, z.shape[1:])
    nearest = _square_distances(means, z, train.available).argmin(dim=1)
    of_cluster = torch.nn.functional.one_hot(nearest, len(means)).to(z)
    counts = torch.einsum("nc,nm->cm", of_cluster, train.available.to(z))[:, :, None]
    sums = torch.einsum("nc,nmd->cmd", of_cluster, z * has)
    found = torch.where(counts > 0, sums / counts.clamp(min=1), mean)
    numbers = train.available.sum() * z.shape[2]
    variance = _square_distances(found, z, train.available).gather(1, nearest[:, None]).sum()
    return Centroids(
        found,
        of_cluster.sum(dim=0).clamp(min=1).log() - torch.tensor(float(max(len(z), 1))).log(),
        (variance / numbers.clamp(min=1)).clamp(min=_LEAST_VARIANCE),
    )


def mixed_centroids(
    centroids: Centroids,
    z: Float[Tensor, "sample modality dim"],
    available: Bool[Tensor, "sample modality"],
) -> Float[Tensor, "sample modality dim"]:
    """Return for each slot the mixture of centroids, weighed by what the other modalities tell.

    A weight is the probability of the cluster given the available embeddings, for a mixture of
    normal distributions around the centroids with one variance. Without any, it is the share of the
    cluster.
    """
    made = []
    for column in range(z.shape[1]):
        others = available.clone()
        others[:, column] = False
        distances = _square_distances(centroids.z, z, others)
        weights = (centroids.log_share - distances / (2 * centroids.variance)).softmax(dim=1)
        made.append(weights @ centroids.z[:, column])
    return torch.stack(made, dim=1)


def _square_distances(
    centroids: Float[Tensor, "centroid modality dim"],
    z: Float[Tensor, "sample modality dim"],
    available: Bool[Tensor, "sample modality"],
) -> Float[Tensor, "sample centroid"]:
    """Return squared distances over the available modalities of each sample."""
    apart = z.square().sum(dim=2)[:, None] + centroids.square().sum(dim=2)[None]
    apart = (apart - 2 * torch.einsum("nmd,cmd->ncm", z, centroids)).clamp(min=0)
    return torch.where(available[:, None], apart, 0.0).sum(dim=2)


def fit_prototypes(train: Embeddings, seed: int) -> Sequence[Fill]:
    """Find twenty centroids; see `find_centroids` and `mixed_centroids`."""
    return (partial(mixed_centroids, find_centroids(train, seed, centroids=_CENTROIDS)),)


PROTOTYPES = MissingModalityMethod(
    handler=DropModality,
    fit=fit_prototypes,
    display_name="mixture of train centroids",
    description="Mixes centroids of train admissions where a modality is missing.",
    source=(
        'Ma et al., "SMIL: Multimodal Learning with Severely Missing Modality", AAAI 2021, '
        "https://arxiv.org/abs/2103.05677"
    ),
)
"""A missing embedding is a mixture of train centroids; training leaves out what is missing.

SMIL learns the weights of the centroids with the task, by meta-learning. Here they are the
probabilities of the clusters given what a sample has, and nothing is learned.
"""
