"""What a contrastive loss knows of information: density ratios and total correlations."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.symile import Symile
from clinical_symile.training.model_selection import tc_estimate

NAMES = ("cxr", "ecg", "labs")
KINDS = ("all", "shuffled", "cyclic-8")


def batch_of(z: Tensor) -> Embeddings:
    return Embeddings(z, torch.ones(z.shape[:2], dtype=torch.bool), NAMES, torch.arange(len(z)))


def xor_bits(samples: int, generator: torch.Generator) -> Tensor:
    """Signs of two fair bits and their exclusive or: any two are independent, all three are not."""
    bits = torch.randint(2, (samples, 2), generator=generator)
    both = torch.cat([bits, bits.sum(dim=1, keepdim=True) % 2], dim=1)
    return (1.0 - 2.0 * both)[:, :, None]


@pytest.mark.parametrize("negatives", KINDS)
def test_the_estimate_for_an_xor_bit_is_ln_2_over_20_draws(
    negatives: str, generator: torch.Generator
):
    # The product of the signs is 1 where the bits fit and -1 elsewhere, so that a large scale gives
    # the density ratio: 2, and 0.
    objective, found = Symile(temperature=0.05, negatives=negatives), list[float]()
    for draw in range(20):
        batch = batch_of(xor_bits(128, generator))
        value = tc_estimate(objective, batch, batch_size=128, seed=draw)
        assert value is not None
        found.append(value)
    error = float(np.std(found, ddof=1)) / math.sqrt(len(found))
    assert error < 0.005
    # A positive that also fits its anchor is one of 128 or more candidates.
    assert np.mean(found) == pytest.approx(math.log(2), abs=3 * error + 1 / 128)


@pytest.mark.parametrize("negatives", KINDS)
@pytest.mark.parametrize("temperature", [0.005, 0.1, 10.0])
def test_no_estimate_is_above_log_k_and_wrong_scores_estimate_less_than_there_is(
    negatives: str, temperature: float, generator: torch.Generator
):
    objective = Symile(temperature=temperature, negatives=negatives)
    most = objective.n_candidates(32, modalities=3)
    assert most is not None
    found = []
    for draw in range(20):
        z = functional.normalize(torch.randn(32, 3, 4, generator=generator), dim=2)
        known = torch.eye(32)[:, None].expand(32, 3, 32)
        for batch in (z, known):
            value = tc_estimate(objective, batch_of(batch), batch_size=32, seed=draw)
            assert value is not None
            assert value <= math.log(most) + 1e-5
        noisy = xor_bits(32, generator) * torch.randn(32, 3, 1, generator=generator).abs()
        value = tc_estimate(objective, batch_of(noisy), batch_size=32, seed=draw)
        assert value is not None
        found.append(value)
    assert np.mean(found) < math.log(2)


@pytest.mark.slow
def test_the_learned_score_of_a_gaussian_triple_is_its_log_density_ratio(
    generator: torch.Generator,
):
    covariance = torch.tensor([[1.0, 0.5, 0.4], [0.5, 1.0, -0.3], [0.4, -0.3, 1.0]])
    root = torch.linalg.cholesky(covariance)

    def triples(samples: int) -> Tensor:
        return torch.randn(samples, 3, generator=generator) @ root.T

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoders = nn.ModuleList(
            nn.Sequential(nn.Linear(1, 32), nn.SiLU(), nn.Linear(32, 12)) for _ in NAMES
        )
    objective = Symile(temperature=1.0)

    def embeddings(values: Tensor) -> Embeddings:
        columns = [encoder(values[:, [k]]) for k, encoder in enumerate(encoders)]
        return batch_of(torch.stack(columns, dim=1))

    steps = 1500
    optimiser = torch.optim.Adam(encoders.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        objective(embeddings(triples(64))).backward()
        optimiser.step()
        schedule.step()
    # Of triples that belong together, and of others: each sample's partners, and those of the next.
    fresh = triples(2000)
    fresh = torch.cat([fresh[:1000], torch.stack([fresh[1000:, k].roll(k) for k in range(3)], 1)])
    with torch.no_grad():
        learned = embeddings(fresh).z.prod(dim=1).sum(dim=1).double().numpy()
    precision = torch.linalg.inv(covariance) - torch.eye(3)
    ratio = -0.5 * torch.einsum("nk,kl,nl->n", fresh, precision, fresh)
    ratio -= 0.5 * torch.logdet(covariance)
    assert np.corrcoef(learned, ratio.double().numpy())[0, 1] >= 0.99
