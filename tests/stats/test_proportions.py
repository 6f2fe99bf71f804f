import numpy as np
import pytest
import scipy.stats

from clinical_symile.stats.proportions import (
    effective_size,
    mean_estimate,
    paired_difference,
)


def test_none_of_six_has_an_interval_with_a_width():
    interval = mean_estimate(np.zeros(6), np.arange(6)).interval()
    assert interval.value == interval.low == 0
    assert 0.3 < interval.high < 0.6


def test_copies_of_a_sample_are_no_more_evidence(rng: np.random.Generator):
    values = (rng.random(40) < 0.8).astype(float)
    alone = mean_estimate(values, np.arange(40)).interval()
    copied = mean_estimate(np.repeat(values, 5), np.repeat(np.arange(40), 5)).interval()
    assert copied[1:3] == pytest.approx(alone[1:3], abs=0.01)


def test_the_p_value_is_the_level_at_which_the_interval_reaches_the_null():
    estimate = mean_estimate((np.arange(40) < 30).astype(float), np.arange(40))
    low = estimate.interval().low
    assert estimate.p_value(low) == pytest.approx(0.05, abs=1e-3)


def test_a_paired_difference_adds_the_wilson_limits_of_gains_and_losses_in_squares():
    gains, losses, n = 9, 3, 30
    values = np.repeat([1.0, -1.0, 0.0], [gains, losses, n - gains - losses])
    found = paired_difference(values, np.arange(n)).interval()
    t = scipy.stats.t.ppf(0.975, n - 1)

    def wilson(count: int) -> tuple[float, float]:
        p = count / n
        half = t * np.sqrt(p * (1 - p) / n + t**2 / (4 * n**2))
        centre, size = p + t**2 / (2 * n), 1 + t**2 / n
        return float((centre - half) / size), float((centre + half) / size)

    p, q = gains / n, losses / n
    (p_low, p_high), (q_low, q_high) = wilson(gains), wilson(losses)
    correlation = -np.sqrt(p * q / ((1 - p) * (1 - q)))

    def length(one: float, other: float) -> float:
        return np.sqrt(one**2 + other**2 - 2 * correlation * one * other)

    assert found.low == pytest.approx(p - q - length(p - p_low, q_high - q))
    assert found.high == pytest.approx(p - q + length(p_high - p, q - q_low))


def test_a_paired_difference_scales_with_its_values(rng: np.random.Generator):
    values = rng.uniform(-1, 1, 40)
    one, half = (paired_difference(f * values, np.arange(40)).interval() for f in (1.0, 0.5))
    assert half[:3] == pytest.approx([end / 2 for end in one[:3]])


def test_a_loss_on_every_discordant_sample_is_not_shown_to_be_smaller_than_it_is():
    # 10 of 100 samples lose: the upper limit of the loss is Wilson's.
    values = np.repeat([-1.0, 0.0], [10, 90])
    low = paired_difference(values, np.arange(100)).interval().low
    assert low == pytest.approx(-mean_estimate(-values, np.arange(100)).interval().high)


def test_few_values_between_0_and_1_are_supposed_to_vary_a_little_more_than_seen():
    values = np.array([0.1, 0.2, 0.3, 0.2])
    size = effective_size(values[None, :], np.array([(values**2).sum()]), np.ones(4))
    # Four subjects of variance 0.005, and one of the largest, 0.2 (1 - 0.2).
    assert size.n_effective[0] == pytest.approx(4 * 0.16 / ((4 * 0.005 + 0.16) / 5))
    binary = np.array([0.0, 1.0, 0.0, 0.0])
    size = effective_size(binary[None, :], np.array([1.0]), np.ones(4))
    assert size.n_effective[0] == pytest.approx(4)


def test_equal_runs_have_no_interval_of_their_difference():
    with pytest.raises(ValueError, match="say nothing of its variation"):
        paired_difference(np.zeros(20), np.arange(20))
