"""Imputed values: plausible, from a sample's own values, without bias, and with honest spread."""

import re
from pathlib import Path

import numpy as np
import pytest

import clinical_symile
from clinical_symile.data.store import CohortStore
from clinical_symile.models.missing_modality.imputed_values import IMPUTED_VALUES, fit_values
from clinical_symile.stats.multiple_imputation import PooledEstimate, pool_imputations

GUIDE = "docs/guides/missing_data_study.md"


def panel(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Three analytes of one number, of which the second is skewed; a fourth for itself."""
    one = rng.standard_normal((samples, 1))
    made = 0.8 * one + 0.6 * rng.standard_normal((samples, 3))
    made[:, 1] = np.exp(made[:, 1])
    return np.concatenate([made, rng.standard_normal((samples, 1))], axis=1)


def names(values: np.ndarray) -> list[str]:
    return [f"sample-{number}" for number in range(len(values))]


def pooled_mean(values: np.ndarray, analyte: int, seed: int) -> PooledEstimate:
    """The mean of an analyte, after five imputations of where it was not measured."""
    estimates, variances = [], []
    for number in range(5):
        made = fit_values(values, 10 * seed + number, rounds=2)(values, names(values))[:, analyte]
        estimates.append(made.mean())
        variances.append(made.var(ddof=1) / len(made))
    return pool_imputations(np.array(estimates), np.array(variances))


@pytest.mark.slow
def test_a_pooled_mean_of_an_analyte_has_no_bias_and_its_variance_covers_what_is_missing() -> None:
    """MCAR, against the mean before hiding; under MAR what remains is a small part of the bias."""
    for slope in (0.0, 2.0):
        errors, complete_cases, pooled = [], [], []
        for seed in range(20):
            rng = np.random.default_rng(seed)
            values = panel(rng, 150)
            is_missing = rng.random(150) < 1 / (1 + np.exp(-slope * values[:, 0]))
            hidden = values.copy()
            hidden[is_missing, 2] = np.nan
            pooled.append(pooled_mean(hidden, 2, seed))
            errors.append(pooled[-1].value - values[:, 2].mean())
            complete_cases.append(values[~is_missing, 2].mean() - values[:, 2].mean())
        found = np.var([one.value for one in pooled], ddof=1)
        assert 0.5 * found < np.mean([one.variance for one in pooled]) < 2 * found
        if slope == 0:
            standard_error = np.std(errors, ddof=1) / np.sqrt(len(errors))
            assert abs(np.mean(errors)) < 2 * standard_error
        else:
            assert abs(np.mean(errors)) < 0.2 * abs(np.mean(complete_cases))


@pytest.mark.slow
def test_the_pooled_variance_holds_where_many_samples_have_equal_values() -> None:
    """Each sample has one of two values of one analyte, so that half of them share all."""
    pooled = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        values = panel(rng, 150)[:, (0, 2)]
        values[:, 0] = values[:, 0] > 0
        values[rng.random(150) < 0.5, 1] = np.nan
        pooled.append(pooled_mean(values, 1, seed))
    found = np.var([one.value for one in pooled], ddof=1)
    assert 0.5 * found < np.mean([one.variance for one in pooled]) < 2 * found


def test_samples_with_equal_values_get_draws_of_their_own(rng) -> None:
    impute = fit_values(panel(rng, 200), 0, rounds=2)
    asked = np.full((200, 4), np.nan)
    asked[:, 0] = 1.0
    made = impute(asked, names(asked))
    assert len(np.unique(made[:, 3])) > 50
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        impute(asked, ["a"] * 201)


def test_imputations_differ_are_train_values_and_the_same_in_any_company(rng) -> None:
    values = panel(rng, 60)
    values[rng.random(values.shape) < 0.3] = np.nan
    values[0] = np.nan
    assert IMPUTED_VALUES.panel is not None
    assert IMPUTED_VALUES.panel.number == 5
    called = names(values)
    made = [fit_values(values, seed, rounds=2)(values, called) for seed in range(5)]
    missing = np.isnan(values)
    for number, one in enumerate(made):
        assert np.array_equal(one[~missing], values[~missing])
        for analyte in range(4):
            known = values[~missing[:, analyte], analyte]
            assert set(one[missing[:, analyte], analyte]) <= set(known)
        assert all((one[missing] != other[missing]).any() for other in made[:number])
    impute = fit_values(values, 0, rounds=2)
    assert np.array_equal(impute(values[::-1], called[::-1])[::-1], made[0])
    assert np.array_equal(impute(values[3:4], called[3:4]), made[0][3:4])


def test_an_imputed_value_follows_what_its_analyte_goes_with(rng) -> None:
    impute = fit_values(panel(rng, 400), 0)
    asked = np.full((200, 4), np.nan)
    asked[:, 0] = np.linspace(-2, 2, 200)
    made = impute(asked, names(asked))
    related, skewed, alone = (np.corrcoef(asked[:, 0], made[:, m])[0, 1] for m in (2, 1, 3))
    assert related > 0.4
    assert skewed > 0.3
    assert abs(alone) < 0.25
    assert (made[:, 1] > 0).all()


def test_analytes_that_do_not_vary_are_imputed_by_what_is_known_of_them() -> None:
    values = np.array([[1.0, 5.0, np.nan, 2.0], [3.0, 5.0, np.nan, np.nan]])
    made = fit_values(values[:, 1:], 0)(np.full((1, 3), np.nan), ["a"])
    assert made[0, [0, 2]].tolist() == [5, 2]
    assert np.isnan(made[0, 1])
    alone = fit_values(values[:, :1], 0)(np.full((1, 1), np.nan), ["a"])
    assert alone[0, 0] == 3


@pytest.mark.slow
def test_the_guide_pools_an_estimate(
    synthetic_store: CohortStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clinical_symile, "open_store", lambda path: synthetic_store, raising=False)
    (code,) = re.findall(r"```python\n(.*?)```", Path(GUIDE).read_text("utf-8"), re.DOTALL)
    found: dict[str, object] = {}
    exec(code, found)
    pooled = found["pooled"]
    assert isinstance(pooled, PooledEstimate)
    assert pooled.variance >= pooled.within > 0
