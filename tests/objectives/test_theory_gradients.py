"""The gradient of a contrastive loss in its scores: what a positive gets, and how negatives share.

The embeddings are chosen so that each score is a number of its own: the first modalities are unit
vectors along the axes, and the last one holds the scores.
"""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.clip import Clip
from clinical_symile.objectives.infonce import nt_xent_losses
from clinical_symile.objectives.symile import Symile
from clinical_symile.objectives.token_pairs import KernelMixture

SAMPLES, TEMPERATURE = 5, 0.3


def gradient_in_scores(objective: Objective, scores: Tensor) -> Tensor:
    """The gradient of a loss in the score of each combination of samples."""
    modalities, n = scores.dim(), len(scores)
    scores = scores.clone().requires_grad_()
    width = n ** (modalities - 1)
    places = torch.arange(width).reshape([n] * (modalities - 1))
    z = torch.zeros(n, modalities, width, dtype=scores.dtype)
    for column in range(modalities - 1):
        of_sample = places.movedim(column, 0).reshape(n, -1)
        z[:, column] = z[:, column].scatter(1, of_sample, 1.0)
    z = torch.cat([z[:, :-1], scores.movedim(-1, 0).reshape(n, 1, width)], dim=1)
    available = torch.ones(n, modalities, dtype=torch.bool)
    batch = Embeddings(z, available, ("cxr", "ecg", "labs")[:modalities], torch.arange(n))
    (found,) = torch.autograd.grad(objective.double()(batch), scores)
    return found


def expected_gradient(scores: Tensor) -> Tensor:
    """By hand: for each anchor modality, the softmax of its candidates less 1 at the positive."""
    modalities, n = scores.dim(), len(scores)
    positive = torch.zeros_like(scores)
    positive[tuple([torch.arange(n)] * modalities)] = 1
    found = torch.zeros_like(scores)
    for anchor in range(modalities):
        rows = scores.movedim(anchor, 0).reshape(n, -1) / TEMPERATURE
        softmax = rows.softmax(dim=1).reshape([n] * modalities).movedim(0, anchor)
        found += (softmax - positive) / (TEMPERATURE * n * modalities)
    return found


@pytest.mark.parametrize(
    ("objective", "modalities"),
    [(Clip, 2), (Symile, 2), (Symile, 3)],
)
def test_a_positive_gets_the_sum_of_what_negatives_get_and_they_share_it_by_softmax(
    objective: type[Clip] | type[Symile], modalities: int, generator: torch.Generator
):
    shape = [SAMPLES] * modalities
    scores = torch.randn(shape, generator=generator, dtype=torch.float64)
    found = gradient_in_scores(objective(temperature=TEMPERATURE), scores)
    own = torch.eye(SAMPLES, dtype=torch.bool)
    is_positive = own if modalities == 2 else own[:, :, None] & own[None]
    positive, negatives = found[is_positive], found[~is_positive]
    assert (positive < 0).all()
    assert (negatives > 0).all()
    assert positive.abs().sum().item() == pytest.approx(negatives.sum().item(), rel=1e-6)
    torch.testing.assert_close(found, expected_gradient(scores), rtol=1e-6, atol=1e-9)


def test_the_hardest_negative_takes_the_whole_gradient_as_the_temperature_falls(
    generator: torch.Generator,
):
    scores = torch.randn(SAMPLES, SAMPLES, generator=generator, dtype=torch.float64)
    shares = []
    for temperature in (1.0, 0.1, 0.01):
        # Of one anchor: the others' scores are so low that they enter no column.
        alone = torch.full_like(scores, -1e3).fill_diagonal_(0.0)
        alone[0] = scores[0]
        alone[0, 0] = scores[0].min() - 0.1
        negatives = gradient_in_scores(Clip(temperature=temperature), alone)[0, 1:]
        shares.append((negatives.max() / negatives.sum()).item())
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] > 0.999


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_mixture_of_kernels_with_squared_distances_is_nt_xent_at_half_the_temperature(
    share: float, generator: torch.Generator
):
    z = functional.normalize(torch.randn(7, 3, 5, generator=generator, dtype=torch.float64), dim=2)
    available = torch.ones(7, 3, dtype=torch.bool)
    scale = torch.tensor(1 / TEMPERATURE, dtype=torch.float64)
    pairs = [(z[:, a], z[:, b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    expected = [nt_xent_losses(first, second, scale).mean().item() for first, second in pairs]
    batch = Embeddings(z, available, ("cxr", "ecg", "labs"), torch.arange(7))
    mixture = KernelMixture(power=2.0, share=share, temperature=2 * TEMPERATURE).double()
    with torch.no_grad():  # the parameter was made in float32
        assert mixture.log_logit_scale is not None
        mixture.log_logit_scale.fill_(-math.log(2 * TEMPERATURE))
    assert mixture(batch).item() == pytest.approx(sum(expected) / 3, rel=1e-12)
    longer = Embeddings(2 * z, available, batch.modalities, batch.rows)
    scaled = [nt_xent_losses(2 * a, 2 * b, scale).mean().item() for a, b in pairs]
    assert mixture(longer).item() == pytest.approx(sum(scaled) / 3, rel=1e-12)
    z[0] *= 2  # vectors of different lengths: a distance is no inner product any more
    uneven = [nt_xent_losses(a, b, scale).mean().item() for a, b in pairs]
    assert mixture(batch).item() != pytest.approx(sum(uneven) / 3, rel=1e-3)
