"""A missing embedding is a mixture of train centroids."""

import pytest
import torch
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.models.missing_modality.prototypes import (
    Centroids,
    find_centroids,
    fit_prototypes,
    mixed_centroids,
)

MODALITIES = ("cxr", "ecg", "labs")


def train(z: Tensor, available: Tensor) -> Embeddings:
    hidden = torch.where(available[:, :, None], z, 0.0)
    return Embeddings(hidden, available, MODALITIES, torch.arange(len(z)))


def drawn(samples: int) -> Tensor:
    return torch.randn(samples, 3, 4, generator=torch.Generator().manual_seed(0))


def test_one_centroid_is_the_mean_of_the_train_samples_that_have_the_modality():
    z, available = drawn(8), torch.ones(8, 3, dtype=torch.bool)
    available[5:, 1] = False
    found = find_centroids(train(z, available), 0, centroids=1)
    means = torch.stack([z[available[:, m], m].mean(dim=0) for m in range(3)])
    torch.testing.assert_close(found.z[0], means)
    has = torch.tensor([[True, False, True], [False, False, False]])
    made = mixed_centroids(found, drawn(2), has)
    torch.testing.assert_close(made, means.expand(2, -1, -1))


def test_clusters_that_lie_apart_are_found_and_complete_a_sample_of_theirs():
    centres = 10 * torch.eye(4)[:3, None].repeat(1, 3, 1)
    z = (centres[:, None] + 0.01 * drawn(15).unflatten(0, (3, 5))).flatten(0, 1)
    (fill,) = fit_prototypes(train(z, torch.ones(15, 3, dtype=torch.bool)), 0)
    asked = torch.where(torch.tensor([1, 0, 0])[None, :, None] == 1, centres, 0.0)
    found = fill(asked, torch.tensor([[True, False, False]] * 3))
    torch.testing.assert_close(found[:, 1:], centres[:, 1:], atol=0.05, rtol=0)


def test_weights_are_the_probabilities_of_clusters_by_hand():
    centroids = Centroids(
        torch.tensor([[[0.0], [1.0]], [[2.0], [5.0]]]),
        torch.tensor([0.25, 0.75]).log(),
        torch.tensor(2.0),
    )
    has = torch.tensor([[True, False]])
    (found,) = mixed_centroids(centroids, torch.tensor([[[1.5], [9.0]]]), has)[:, 1, 0].tolist()
    first = 0.25 * torch.tensor(-(1.5**2) / 4).exp()
    second = 0.75 * torch.tensor(-(0.5**2) / 4).exp()
    assert found == pytest.approx(float((1 * first + 5 * second) / (first + second)))
    nothing = mixed_centroids(centroids, torch.zeros(1, 2, 1), ~has & has)
    assert nothing[0, 1, 0].item() == pytest.approx(0.25 * 1 + 0.75 * 5)


def test_incomplete_samples_join_the_nearest_centroid():
    """A second ECG of the right cluster, and a modality that one cluster lacks altogether."""
    z = torch.zeros(5, 3, 1)
    z[:, :, 0] = torch.tensor([[0, 0, 0], [0, 0, 0], [9, 9, 9], [9, 3, 0], [0, 0, 0]])
    available = torch.ones(5, 3, dtype=torch.bool)
    available[3, 2] = False
    found = find_centroids(train(z, available), 0, centroids=2)
    assert sorted(found.z[:, 1, 0].tolist()) == [0.0, 6.0]
    assert sorted(found.log_share.exp().tolist()) == pytest.approx([0.4, 0.6])


def test_without_complete_samples_there_is_one_centroid_and_none_gives_zeros():
    z, available = drawn(4), torch.tensor([[True, True, False]] * 4)
    found = find_centroids(train(z, available), 0, centroids=20)
    assert found.z.shape == (1, 3, 4)
    assert (found.z[0, 2] == 0).all()
