"""Multiple imputation: drawn for each sample by itself, without bias, and with honest spread."""

import numpy as np
import pytest
import torch
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.models.missing_modality.imputed import (
    fit_chain,
    fit_imputations,
    imputed_vectors,
)
from clinical_symile.stats.multiple_imputation import PooledEstimate, pool_imputations

MODALITIES = ("cxr", "ecg", "labs")
SLOPE = 0.8


def train(z: Tensor, available: Tensor) -> Embeddings:
    hidden = torch.where(available[:, :, None], z, 0.0)
    names = MODALITIES[: z.shape[1]]
    return Embeddings(hidden, available, names, torch.arange(len(z)))


def related(samples: int, seed: int) -> Tensor:
    """Two modalities of one number: the second is SLOPE times the first, and noise."""
    generator = torch.Generator().manual_seed(seed)
    first, noise = torch.randn(2, samples, generator=generator, dtype=torch.float64)
    return torch.stack([first, SLOPE * first + 0.6 * noise], dim=1)[:, :, None]


def pooled_mean(z: Tensor, available: Tensor, seed: int) -> PooledEstimate:
    """The mean of the second modality, after five imputations of where it is missing."""
    estimates, variances = [], []
    for number in range(5):
        chain = fit_chain(train(z, available), 10 * seed + number, rounds=2)
        made = imputed_vectors(chain, torch.where(available[:, :, None], z, 0.0), available)
        values = torch.where(available[:, 1], z[:, 1, 0], made[:, 1, 0]).numpy()
        estimates.append(values.mean())
        variances.append(values.var(ddof=1) / len(values))
    return pool_imputations(np.array(estimates), np.array(variances))


def hidden_at_random(z: Tensor, seed: int, *, slope: float) -> Tensor:
    """Half of the second modality is missing: more often with a high first one, if `slope` > 0."""
    drawn = torch.rand(len(z), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    available = torch.ones(len(z), 2, dtype=torch.bool)
    available[:, 1] = drawn > (slope * z[:, 0, 0]).sigmoid()
    return available


@pytest.mark.slow
def test_a_pooled_mean_has_no_bias_and_its_variance_covers_what_is_missing():
    """MCAR and MAR, against the mean before hiding; complete cases are biased under MAR."""
    for slope in (0.0, 2.0):
        errors, complete_cases, pooled = [], [], []
        for seed in range(25):
            z = related(200, seed)
            available = hidden_at_random(z, 1000 + seed, slope=slope)
            pooled.append(pooled_mean(z, available, seed))
            whole = float(z[:, 1].mean())
            errors.append(pooled[-1].value - whole)
            complete_cases.append(float(z[available[:, 1], 1].mean()) - whole)
        for biases, unbiased in ((errors, True), (complete_cases, slope == 0)):
            standard_error = np.std(biases, ddof=1) / np.sqrt(len(biases))
            assert (abs(np.mean(biases)) < 2 * standard_error) == unbiased
        assert all(one.variance > one.within for one in pooled)
        # What was hidden: the pooled spread beyond that of complete data is that of the errors.
        added = np.mean([one.variance - one.within for one in pooled])
        assert 0.5 < added / np.mean(np.square(errors)) < 2


def drawn(samples: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(samples, 3, 4, generator=generator)
    available = torch.rand(samples, 3, generator=generator) < 0.7
    return z, available


@pytest.fixture
def few_components(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clinical_symile.models.missing_modality._chained._COMPONENTS", 2)


@pytest.mark.usefixtures("few_components")
def test_five_imputations_differ_and_each_is_the_same_in_any_company():
    z, available = drawn(30)
    hidden = torch.where(available[:, :, None], z, 0.0)
    fills = fit_imputations(train(z, available), 0)
    assert len(fills) == 5
    made = [fill(hidden, available) for fill in fills]
    missing = ~available
    for number, one in enumerate(made):
        assert torch.isfinite(one).all()
        assert all(not torch.equal(one[missing], other[missing]) for other in made[:number])
        order = torch.arange(29, -1, -1)
        torch.testing.assert_close(fills[number](hidden[order], available[order]), one[order])
        torch.testing.assert_close(fills[number](hidden[3:4], available[3:4]), one[3:4])
    again = fit_imputations(train(z, available), 0)[2](hidden, available)
    assert torch.equal(again, made[2])
    complete = torch.ones(30, 3, dtype=torch.bool)
    every = fills[0](z, complete)
    assert torch.isfinite(every).all()


def test_imputations_are_drawn_around_the_regression_with_its_spread():
    z = related(400, 0)
    chain = fit_chain(train(z, torch.ones(400, 2, dtype=torch.bool)), 0)
    asked = torch.zeros(300, 2, 1, dtype=torch.float64)
    asked[:, 0, 0] = 1 + 1e-3 * torch.arange(300)
    has = torch.tensor([[True, False]] * 300)
    residual = imputed_vectors(chain, asked, has)[:, 1, 0] - SLOPE * asked[:, 0, 0]
    assert abs(float(residual.mean())) < 0.15
    assert 0.5 < float(residual.std()) < 0.7


@pytest.mark.usefixtures("few_components")
def test_what_no_train_sample_has_is_zero_and_one_sample_has_no_components():
    z = torch.ones(4, 3, 2)
    has = torch.tensor([[True, False, False]] * 4)
    has[0, 2] = True
    for fill in fit_imputations(train(z, has), 0)[:1]:
        made = fill(torch.zeros(2, 3, 2), torch.zeros(2, 3, dtype=torch.bool))
        assert (made[:, 1] == 0).all()
        torch.testing.assert_close(made[:, [0, 2]], torch.ones(2, 2, 2))
