"""ProbMED equals known values, and its distance is that of the Gaussians."""

import math

import pytest
import torch
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.probmed import (
    ProbMed,
    hellinger_loss,
    hellinger_similarity,
    sampled_loss,
)
from tests.helpers.objective_values import connected, loss_value

TEN, ONE = torch.tensor(10.0, dtype=torch.float64), torch.ones((), dtype=torch.float64)


def _similarity(first: Tensor, second: Tensor, *, per_dim: bool = False) -> Tensor:
    one, other = ([*side.chunk(2, dim=1)] for side in (first, second))
    return hellinger_similarity(one, other, [ONE], per_dim=per_dim)


def test_the_squared_distance_of_rows_has_the_golden_values(gaussian_fixture_f: Tensor):
    z = gaussian_fixture_f
    own = _similarity(z[:, 0], z[:, 1]).diagonal()
    squared = (1 - own) ** 2 - 1e-8
    assert squared[:2].tolist() == pytest.approx([0.358654015053, 0.349399597650], abs=1e-10)


def test_the_contrast_of_pairs_has_the_golden_values(gaussian_fixture_f: Tensor):
    z = gaussian_fixture_f
    found = [hellinger_loss(z[:, a], z[:, b], TEN).item() for a, b in ((0, 1), (1, 2), (0, 2))]
    expected = [3.352043090918, 3.739040151622, 2.226158587688]
    assert found == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(
    ("per_dim", "masked", "expected"),
    [(False, False, 3.105747276743), (True, False, 2.347430739344), (False, True, 2.996331751512)],
)
def test_the_mean_of_pairs_has_the_golden_values(
    per_dim: bool,
    masked: bool,
    expected: float,
    gaussian_fixture_f: Tensor,
    without_last_labs: Tensor,
):
    objective = ProbMed(sample_weight=0.0, divergence_weight=0.0, per_dim=per_dim)
    available = without_last_labs if masked else None
    found = loss_value(objective.double(), gaussian_fixture_f, available, temperature=0.1)
    assert found == pytest.approx(expected, abs=1e-10)


def test_the_contrast_of_samples_has_the_golden_values(gaussian_fixture_f: Tensor):
    sample, dim = torch.meshgrid(torch.arange(4), torch.arange(3), indexing="ij")
    found = []
    for m in range(3):
        first, second = ((c + 2 * dim + m) % 3 - 1.0 for c in (sample, 2 * sample))
        second = (2 * sample + dim + m) % 3 - 1.0
        found.append(sampled_loss(gaussian_fixture_f[:, m], first, second, TEN).item())
    expected = [3.530536028797, 12.788053218541, 0.277831427218]
    assert found == pytest.approx(expected, abs=1e-10)


def test_the_three_terms_add_up(gaussian_fixture_f: Tensor):
    def value(*, sample_weight: float, divergence_weight: float) -> float:
        objective = ProbMed(sample_weight=sample_weight, divergence_weight=divergence_weight)
        return loss_value(objective.double(), gaussian_fixture_f, temperature=0.1)

    pairs = value(sample_weight=0.0, divergence_weight=0.0)
    sampled = value(sample_weight=1.0, divergence_weight=0.0) - pairs
    assert sampled > 0
    expected = pairs + 2 * sampled + 3 * 0.554544538019
    assert value(sample_weight=2.0, divergence_weight=3.0) == pytest.approx(expected, abs=1e-9)


def test_the_distance_of_two_standard_widths_one_apart_is_known():
    left, right = torch.zeros(1, 2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)[:1]
    squared = (1 - _similarity(left, right)).item() ** 2
    assert squared == pytest.approx(0.117503097415, abs=1e-7)


def test_similarity_is_symmetric_and_at_most_one(generator: torch.Generator):
    left, right = (torch.randn(5, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    found = _similarity(left, right)
    torch.testing.assert_close(found, _similarity(right, left).T)
    assert ((found >= -1e-8) & (found <= 1)).all()
    assert _similarity(left, left).diagonal().min() > 1 - 1e-3


@pytest.mark.parametrize("log_variance", [-1.0, -3.0])
def test_with_one_variance_the_ranking_is_that_of_euclidean_distance(
    log_variance: float, generator: torch.Generator
):
    z = torch.randn(6, 2, 4, generator=generator, dtype=torch.float64) / 4
    logs = torch.full_like(z, log_variance)
    whole = torch.cat([z, logs], dim=2)
    available = torch.ones(6, 2, dtype=torch.bool)
    query = Embeddings(whole, available, ("cxr", "ecg"), torch.arange(6), spread=True)
    scores = connected(ProbMed(), modalities=2).score(query, whole[:, 0], target="cxr")
    distances = torch.cdist(z[:, 1], z[:, 0])
    assert torch.equal(scores.argsort(dim=1, descending=True), distances.argsort(dim=1))


def test_a_missing_modality_leaves_the_sum(gaussian_fixture_f: Tensor, without_last_labs: Tensor):
    names, rows = ("cxr", "ecg", "labs"), torch.arange(4)
    query = Embeddings(gaussian_fixture_f, without_last_labs, names, rows, spread=True)
    candidates = gaussian_fixture_f[:, 0]
    scores = connected(ProbMed()).score(query, candidates, target="cxr")
    of_ecg, of_labs = (_similarity(gaussian_fixture_f[:, m], candidates) for m in (1, 2))
    torch.testing.assert_close(scores.exp()[:3], (of_ecg + of_labs)[:3], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(scores.exp()[3], of_ecg[3], rtol=1e-6, atol=1e-6)


def test_gaussians_that_hardly_overlap_are_ranked_by_their_distance():
    """1 - H is about exp(-1,000) there, which no float holds."""
    z = torch.zeros(4, 2, 8, dtype=torch.float64)
    z[:, 1, 0], z[:, 0, 0] = 0.0, torch.tensor([90.0, 92.0, 91.0, 93.0])
    available = torch.ones(4, 2, dtype=torch.bool)
    query = Embeddings(z, available, ("cxr", "ecg"), torch.arange(4), spread=True)
    for candidates in (z[:, 0], z[:, 0].float()):
        scores = connected(ProbMed(), modalities=2).score(query, candidates, target="cxr")
        assert scores[0].argsort(descending=True).tolist() == [0, 2, 1, 3]


def test_wide_embeddings_are_told_apart_with_the_exponent_divided(generator: torch.Generator):
    z = torch.randn(4, 2 * 512, generator=generator, dtype=torch.float64)
    others = ~torch.eye(4, dtype=torch.bool)
    assert _similarity(z, z)[others].max() < 1e-6
    assert _similarity(z, z, per_dim=True)[others].min() > 0.2


def test_what_cannot_be_used_is_refused(gaussian_fixture_f: Tensor):
    with pytest.raises(ValueError, match=r"sample_weight is -1.*divergence_weight is inf"):
        ProbMed(sample_weight=-1.0, divergence_weight=math.inf)
    z, available = gaussian_fixture_f, torch.ones(4, 3, dtype=torch.bool)
    batch = Embeddings(z, available, ("cxr", "ecg", "labs"), torch.arange(4), spread=True)
    with pytest.raises(ValueError, match="expected a generator"):
        ProbMed().double()(batch)
    plain = Embeddings(z, available, ("cxr", "ecg", "labs"), torch.arange(4))
    with pytest.raises(ValueError, match="have no log variances; expected log variances after"):
        ProbMed().double()(plain)
