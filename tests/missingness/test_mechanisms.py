import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from clinical_symile.missingness.mechanisms import draw_hidden, normal_scores, uniforms

NAMES = [f"admission {n}" for n in range(10_000)]
COLUMNS = ["cxr", "ecg", "labs"]
DRAWS = uniforms(0, NAMES, COLUMNS)
ALL = np.ones(DRAWS.shape, dtype=bool)


def test_draws_are_uniform_and_columns_independent():
    for column in DRAWS.T:
        assert kstest(column, "uniform").pvalue > 0.001
    assert (np.abs(np.corrcoef(DRAWS.T) - np.eye(3)) < 0.04).all()
    assert (DRAWS > 0).all()
    assert (DRAWS < 1).all()


@given(st.permutations(range(20)), st.integers(0, 5))
def test_a_draw_depends_on_the_seed_and_its_names_alone(order, seed):
    names = [NAMES[place] for place in order]
    expected = uniforms(seed, NAMES[:20], COLUMNS)[list(order)]
    np.testing.assert_array_equal(uniforms(seed, names, COLUMNS), expected)
    np.testing.assert_array_equal(uniforms(seed, names, ["labs"]), expected[:, [2]])


def test_another_seed_draws_others():
    assert (uniforms(1, NAMES[:100], COLUMNS) != DRAWS[:100]).all()


def _hidden(columns, rate, covariates=None, present=None):
    shape = (len(NAMES), columns)
    return draw_hidden(
        DRAWS[:, :columns],
        np.zeros(shape) if covariates is None else covariates,
        present=np.ones(shape, dtype=bool) if present is None else present,
        rates=np.full(columns, rate),
    )


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.7, 0.99])
@pytest.mark.parametrize("columns", [1, 2, 3])
def test_every_column_reaches_its_rate_to_the_nearest_sample(rate, columns):
    severe = np.random.default_rng(0).normal(size=(len(NAMES), 1)) + np.zeros(columns)
    for covariates in (None, severe):
        hidden = _hidden(columns, rate, covariates)
        assert hidden.sum(axis=0).tolist() == [round(rate * len(NAMES))] * columns


def test_columns_have_rates_of_their_own():
    hidden = draw_hidden(DRAWS, np.zeros(DRAWS.shape), present=ALL, rates=np.array([0.5, 0.2, 0.0]))
    assert hidden.sum(axis=0).tolist() == [5_000, 2_000, 0]


def test_only_what_is_present_is_hidden_and_counted(rng):
    present = rng.random(DRAWS.shape) < 0.6
    hidden = _hidden(3, 0.2, present=present)
    assert not (hidden & ~present).any()
    assert hidden.sum(axis=0) / present.sum(axis=0) == pytest.approx(0.2, abs=0.001)


def test_a_higher_rate_hides_all_that_a_lower_one_does(rng):
    severe = rng.normal(size=DRAWS.shape)
    for covariates in (None, severe):
        few, many = (_hidden(3, rate, covariates) for rate in (0.1, 0.3))
        assert not (few & ~many).any()


def test_normal_scores_are_standard_and_what_is_unknown_is_average(rng):
    values = rng.exponential(size=1_000)
    values[:100] = np.nan
    scores = normal_scores(values)
    assert (scores[:100] == 0).all()
    assert scores[100:].mean() == pytest.approx(0, abs=1e-12)
    assert scores[100:].std() == pytest.approx(1)
    assert (np.argsort(scores[100:]) == np.argsort(values[100:])).all()
    assert (normal_scores(np.full(5, 3.0)) == 0).all()
    assert len(normal_scores(np.zeros(0))) == 0
