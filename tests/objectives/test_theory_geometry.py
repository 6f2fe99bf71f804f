"""The embeddings that minimize a loss when nothing but the loss forms them."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.pairs import complete_pairs
from clinical_symile.objectives.supcon import supcon_loss


def class_means(*, rectified: bool, counts: tuple[int, ...], steps: int) -> Tensor:
    """Means of length 1 of the classes, of two embeddings a sample that SupCon alone has formed."""
    drawn = torch.Generator().manual_seed(0)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    free = nn.Parameter(torch.randn(len(labels), 2, 8, generator=drawn, dtype=torch.float64).abs())
    available = torch.ones(len(labels), 2, dtype=torch.bool)
    scale, groups = torch.tensor(5.0, dtype=torch.float64), labels[:, None].double()
    optimiser = torch.optim.Adam([free], lr=0.1)

    def embeddings() -> Tensor:
        return functional.normalize(free.relu() if rectified else free, dim=2)

    for _ in range(steps):
        optimiser.zero_grad()
        supcon_loss(embeddings(), available, groups, scale).backward()
        optimiser.step()
    z = embeddings().detach()
    means = torch.stack([z[labels == label].mean(dim=(0, 1)) for label in labels.unique()])
    return functional.normalize(means, dim=1)


def off_diagonal(vectors: Tensor) -> Tensor:
    """Inner products of different vectors."""
    gram = vectors @ vectors.T
    return gram[~torch.eye(len(gram), dtype=torch.bool)]


def test_with_relu_class_means_are_orthogonal_although_classes_are_10_to_1():
    """Kini et al., "Symmetric Neural-Collapse Representations with Supervised Contrastive Loss"."""
    counts = (10, 10, 1, 1)
    rectified = class_means(rectified=True, counts=counts, steps=200)
    assert off_diagonal(rectified).abs().max().item() < 0.05
    plain = off_diagonal(class_means(rectified=False, counts=counts, steps=50))
    assert plain.min().item() < -0.05  # without it, classes point away from each other


class SpectralContrast(Objective):
    """The loss -2 E⟨x, y⟩ of partners + E⟨x, y⟩² of independent draws, in a batch of both."""

    def __init__(self):
        super().__init__(temperature=None)

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        (pair,) = complete_pairs(z, available, objective="a spectral step")
        scores = pair.first @ pair.second.T
        return scores.square().mean() - 2 * scores.diagonal().mean()


def test_the_minimiser_of_the_spectral_loss_is_the_truncated_svd_of_the_normalized_counts():
    """HaoChen et al., 2021, and Zhang et al., 2023, for two modalities: asymmetric factors."""
    counts = np.array([[6, 1, 0, 1], [1, 5, 1, 0], [0, 2, 4, 1], [2, 0, 1, 3]])
    x, y = (torch.from_numpy(place) for place in np.nonzero(counts))
    times = torch.from_numpy(counts[counts > 0])
    x, y = x.repeat_interleave(times), y.repeat_interleave(times)
    rank, samples = 2, len(x)
    drawn = torch.Generator().manual_seed(0)
    tables = [
        torch.randn(4, rank, generator=drawn, dtype=torch.float64, requires_grad=True)
        for _ in range(2)
    ]
    objective = SpectralContrast()
    optimiser = torch.optim.LBFGS(
        tables,
        max_iter=500,
        tolerance_grad=1e-12,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        z = torch.stack([tables[0][x], tables[1][y]], dim=1)
        available = torch.ones(samples, 2, dtype=torch.bool)
        found = objective(Embeddings(z, available, ("cxr", "ecg"), torch.arange(samples)))
        found.backward()
        return found

    optimiser.step(loss)  # pyright: ignore[reportArgumentType]
    joint = counts / counts.sum()
    p, q = joint.sum(axis=1), joint.sum(axis=0)
    u, values, v = np.linalg.svd(joint / np.sqrt(np.outer(p, q)))
    truncated = (u[:, :rank] * values[:rank]) @ v[:rank]
    factors = [table.detach().numpy() for table in tables]
    found = np.sqrt(np.outer(p, q)) * (factors[0] @ factors[1].T)
    np.testing.assert_allclose(found, truncated, atol=1e-6)
    # The least loss is minus the energy that the factors keep.
    assert abs(loss().item() + (values[:rank] ** 2).sum()) < 1e-9
