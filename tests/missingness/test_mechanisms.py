import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from clinical_symile.missingness.mechanisms import SLOPE, draw_hidden, normal_scores, uniforms

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


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.6])
@pytest.mark.parametrize("columns", [2, 3])
def test_every_column_reaches_its_rate_and_no_sample_loses_all(rate, columns):
    if rate > 1 - 1 / columns:
        return
    severe = np.random.default_rng(0).normal(size=(len(NAMES), 1)) + np.zeros(columns)
    for pulls in (np.zeros_like(severe), severe):
        gone = draw_hidden(DRAWS[:, :columns], pulls, present=ALL[:, :columns], rate=rate)
        assert gone.mean(axis=0) == pytest.approx(rate, abs=0.001)
        assert not gone.all(axis=1).any()


def test_where_less_can_be_hidden_as_much_is_hidden_as_can_be():
    gone = draw_hidden(DRAWS[:, :2], np.zeros((len(NAMES), 2)), present=ALL[:, :2], rate=0.9)
    assert (gone.sum(axis=1) == 1).all()


def test_only_what_is_measured_is_hidden_and_counted(rng):
    present = rng.random(DRAWS.shape) < 0.6
    gone = draw_hidden(DRAWS, np.zeros(DRAWS.shape), present=present, rate=0.2)
    assert not (gone & ~present).any()
    assert gone.sum(axis=0) / present.sum(axis=0) == pytest.approx(0.2, abs=0.001)
    assert (present & ~gone).any(axis=1)[present.any(axis=1)].all()


def test_by_chance_alone_three_columns_are_hidden_as_three_coins_of_which_one_stays():
    # With p the chance of a coin and r = p - p³ / 3 the rate, all are shown with (1 - p)³.
    gone = draw_hidden(DRAWS, np.zeros(DRAWS.shape), present=ALL, rate=0.3)
    p = 0.3 + 0.31**3 / 3
    assert (~gone.any(axis=1)).mean() == pytest.approx((1 - p) ** 3, abs=0.015)


def test_the_log_odds_of_being_hidden_rise_with_the_pull(rng):
    # One column of which two halves differ by one standard deviation; another that is never short.
    pulls = np.stack([np.repeat([0.0, 1.0], 5_000), np.zeros(10_000)], axis=1)
    draws = np.stack([DRAWS[:, 0], np.ones(10_000) - 1e-9], axis=1)
    present = ALL[:, :2].copy()
    gone = draw_hidden(draws, pulls, present=present, rate=0.2)[:, 0]
    low, high = gone[:5_000].mean(), gone[5_000:].mean()
    odds = np.log(high / (1 - high)) - np.log(low / (1 - low))
    assert odds == pytest.approx(SLOPE, abs=0.15)


def test_a_higher_rate_hides_nearly_all_that_a_lower_one_does():
    none = np.zeros(DRAWS.shape)
    few, many = (draw_hidden(DRAWS, none, present=ALL, rate=rate) for rate in (0.1, 0.3))
    assert (few & ~many).sum() / few.sum() < 0.05


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
