"""What augmentations do to embeddings, and to what a linear probe reads from them."""

from collections.abc import Callable
from itertools import product

import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional

from clinical_symile.objectives.infonce import nt_xent_losses

SIDE_PX, PATTERN_PX, CLASSES = 12, 5, 6
# By up to how many pixels views move along rows and columns. Two views of the strongest can be
# anywhere on the circle.
STRENGTHS_PX = ((0, 0), (1, 0), (1, 1), (2, 2), (3, 3))
ANYWHERE_PX = (SIDE_PX // 2, SIDE_PX // 2)
SCALE = torch.tensor(5.0)


def images_of(
    patterns: Tensor, per_class: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Noisy images of each class's pattern at a random place, and their classes."""
    labels = torch.arange(CLASSES).repeat_interleave(per_class)
    images = torch.zeros(len(labels), SIDE_PX, SIDE_PX)
    images[:, :PATTERN_PX, :PATTERN_PX] = patterns[labels]
    images = shifted(images, ANYWHERE_PX, generator)
    return images + 0.3 * torch.randn(images.shape, generator=generator), labels


def shifted(images: Tensor, most_px: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Images moved in a circle by up to a number of pixels along both axes."""
    rows, columns = (
        (
            torch.arange(SIDE_PX)
            - torch.randint(-most, most + 1, (len(images), 1), generator=generator)
        )
        % SIDE_PX
        for most in most_px
    )
    samples = torch.arange(len(images))[:, None, None]
    return images[samples, rows[:, :, None], columns[:, None, :]]


def trained(
    patterns: Tensor, most_px: tuple[int, int], generator: torch.Generator
) -> Callable[[Tensor], Tensor]:
    """An encoder for which two views of an image, moved and noisy, are a positive pair."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(SIDE_PX**2, 256), nn.ReLU(), nn.Linear(256, 32))
    optimiser = torch.optim.Adam(layers.parameters(), lr=3e-3)

    def view(images: Tensor) -> Tensor:
        noise = 0.1 * torch.randn(images.shape, generator=generator)
        return functional.normalize(layers(shifted(images, most_px, generator) + noise), dim=1)

    for _ in range(500):
        images, _ = images_of(patterns, 32, generator)
        optimiser.zero_grad()
        nt_xent_losses(view(images), view(images), SCALE).mean().backward()
        optimiser.step()
    return lambda images: functional.normalize(layers(images), dim=1).detach()


def augmented_distances(images: Tensor, most_px: tuple[int, int]) -> Tensor:
    """The distance of two images at their most similar views."""
    least = torch.full((len(images), len(images)), torch.inf)
    for move in product(*(range(-2 * most, 2 * most + 1) for most in most_px)):
        moved = images.roll(move, (1, 2)).flatten(1)
        least = least.minimum(torch.cdist(images.flatten(1), moved))
    return least


def concentration(images: Tensor, labels: Tensor, most_px: tuple[int, int]) -> float:
    """The radius that holds 90 % of each class around one of its images, at the widest class."""
    radii = [
        augmented_distances(images[labels == label], most_px).quantile(0.9, dim=1).min()
        for label in range(CLASSES)
    ]
    return float(torch.stack(radii).max())


def rank_correlation(left: list[float], right: list[float]) -> float:
    """Spearman's correlation."""
    return pd.Series(left).corr(pd.Series(right), method="spearman")


@pytest.mark.slow
def test_alignment_apart_centres_and_concentration_go_with_what_a_probe_reads():
    """Huang et al., "Towards the Generalization of Contrastive Self-Supervised Learning", 2023.

    Their bound falls with the misalignment of views, with class centres that are close, and with
    classes that augmentation leaves wide; the last is a property of images and augmentation, not of
    an encoder. Misalignment is measured with views from anywhere for all, since each encoder's own
    views say nothing of what it never saw. Of centres it is the mean distance.
    """
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randn(CLASSES, PATTERN_PX, PATTERN_PX, generator=generator)
    few, few_labels = images_of(patterns, 20, generator)
    held_out, labels = images_of(patterns, 200, generator)
    accuracies, misalignments, separations, radii = (list[float]() for _ in range(4))
    for most_px in STRENGTHS_PX:
        encode = trained(patterns, most_px, generator)
        probe = LogisticRegression(C=10, max_iter=2000).fit(encode(few).numpy(), few_labels)
        accuracies.append(probe.score(encode(held_out).numpy(), labels))
        views = [encode(shifted(held_out, ANYWHERE_PX, generator)) for _ in range(2)]
        misalignments.append(float((views[0] - views[1]).square().sum(dim=1).mean()))
        z = encode(held_out)
        centres = torch.stack([z[labels == label].mean(dim=0) for label in range(CLASSES)])
        separations.append(float(torch.pdist(centres).mean()))
        radii.append(concentration(few, few_labels, most_px))
    assert len(set(radii)) == len(STRENGTHS_PX)
    assert accuracies[-1] > accuracies[0] + 0.3  # there is something to explain
    assert rank_correlation(misalignments, accuracies) <= -0.8
    assert rank_correlation(separations, accuracies) >= 0.8
    assert rank_correlation(radii, accuracies) <= -0.8
