import numpy as np
import pytest
from scipy.special import expit, logit

from clinical_symile.stats.robustness import effective_robustness, mean_over_rates


def test_the_area_is_the_mean_over_rates_by_hand():
    # Trapezoids of width 10 and 40: (0.9 + 0.7) / 2 and (0.7 + 0.5) / 2.
    assert mean_over_rates(np.array([0.9, 0.7, 0.5]), [0.0, 10.0, 50.0]) == pytest.approx(
        (10 * 0.8 + 40 * 0.6) / 50
    )
    both = mean_over_rates(np.array([[1.0, 0.0], [0.4, 0.4]]), [0.0, 30.0])
    assert both == pytest.approx([0.5, 0.4])
    for rates in ([0.0], [0.0, 0.0], [10.0, 0.0]):
        with pytest.raises(ValueError, match="expected two or more that rise"):
            mean_over_rates(np.ones(len(rates)), rates)


def test_methods_on_one_line_have_no_effective_robustness_and_one_above_it_has():
    complete = np.array([0.55, 0.6, 0.7, 0.8, 0.85, 0.9])
    shifted = expit(0.8 * logit(complete) - 0.2)
    found = effective_robustness(complete, shifted, low=0.0, high=1.0)
    assert found == pytest.approx(np.zeros(6), abs=1e-12)
    better = shifted + np.array([0, 0, 0.07, 0, 0, 0])
    assert effective_robustness(complete, better, low=0.0, high=1.0)[2] == pytest.approx(0.07)


def test_each_method_is_compared_with_the_line_through_the_others(rng: np.random.Generator):
    complete, shifted = rng.uniform(0.2, 0.9, (2, 7))
    found = effective_robustness(complete, shifted, low=0.0, high=1.0)
    for method in range(7):
        x, y = (np.delete(logit(each), method) for each in (complete, shifted))
        slope, start = np.polyfit(x, y, 1)
        expected = expit(start + slope * logit(complete[method]))
        assert found[method] == pytest.approx(shifted[method] - expected)


def test_a_metric_without_a_limit_is_fitted_as_it_is(rng: np.random.Generator):
    complete = np.arange(1.0, 8.0)
    found = effective_robustness(complete, 2 * complete + 3, low=1.0, high=np.inf)
    assert found == pytest.approx(np.zeros(7), abs=1e-9)


def test_few_methods_and_methods_that_are_all_alike_have_no_line():
    with pytest.raises(ValueError, match="needs 6 methods or more; there are 5"):
        effective_robustness(np.ones(5), np.ones(5), low=0.0, high=1.0)
    alike = effective_robustness(np.full(6, 0.7), np.linspace(0.4, 0.6, 6), low=0.0, high=1.0)
    assert np.isnan(alike).all()


def test_a_method_that_holds_up_better_is_above_zero_whichever_way_is_better():
    complete = np.array([0.10, 0.11, 0.12, 0.13, 0.14, 0.15])
    worse = np.array([0.05, 0, 0, 0, 0, 0])
    loss = effective_robustness(
        complete, complete + 0.02 + worse, low=0.0, high=1.0, higher_is_better=False
    )
    gain = effective_robustness(1 - complete, 1 - complete - 0.02 - worse, low=0.0, high=1.0)
    assert loss[0] == pytest.approx(-0.05, abs=0.01)
    assert loss == pytest.approx(gain)


@pytest.mark.parametrize("alike", [1234.7, 500.1, 333.3, 0.7])
def test_others_that_are_all_alike_give_no_line_at_any_scale(alike: float):
    complete = np.array([alike + 5] + [alike] * 6)
    shifted = complete - np.arange(7.0)
    found = effective_robustness(complete, shifted, low=0.0, high=np.inf)
    assert np.isnan(found).tolist() == [True] + [False] * 6
