import numpy as np
import pytest

from clinical_symile.stats.resampling import resample_metric
from clinical_symile.stats.variance_components import variance_components


def study(rng, *, people=60, seeds=4, of_people=1.0, of_seeds=0.0, of_both=0.0):
    """What each run scores on each person, by person."""
    return (
        of_people * rng.standard_normal((people, 1))
        + of_seeds * rng.standard_normal((1, seeds))
        + of_both * rng.standard_normal((people, seeds))
    )


def drawn(table, rng, resamples=400):
    def means(weights, *columns):
        return weights @ np.stack(columns, axis=1) / weights.sum(axis=1, keepdims=True)

    return resample_metric(
        means, list(table.T), np.arange(len(table)), rng=rng, resamples=resamples
    )


def test_each_component_is_found_on_average(rng):
    found = []
    for _ in range(300):
        table = study(rng, of_people=1.0, of_seeds=0.2, of_both=0.5)
        made = variance_components(table.mean(axis=0), drawn(table, rng, 200))
        found.append([made.people**2, made.seeds**2, made.both**2])
    # Of a mean of 60 people: 1 / 60, 0.04, 0.25 / 60.
    assert np.mean(found, axis=0) == pytest.approx([1 / 60, 0.04, 0.25 / 60], rel=0.12)


def test_runs_that_agree_have_no_variance_of_seeds(rng):
    table = np.repeat(rng.standard_normal((50, 1)), 3, axis=1)
    made = variance_components(table.mean(axis=0), drawn(table, rng))
    assert (made.seeds, made.both) == pytest.approx((0, 0), abs=1e-6)
    assert made.people == pytest.approx(table[:, 0].std() / np.sqrt(50), rel=0.1)
    reach = (made.high - made.low) / 2
    assert reach == pytest.approx(1.96 * made.people, rel=1e-3)


def test_the_interval_holds_the_mean_for_other_people_and_other_seeds(rng):
    held = 0
    for _ in range(400):
        table = study(rng, seeds=3, of_people=0.7, of_seeds=0.15, of_both=0.5)
        made = variance_components(table.mean(axis=0), drawn(table, rng, 100))
        held += made.low <= 0 <= made.high
    assert 0.93 <= held / 400 <= 0.99


def test_three_seeds_know_their_deviation_roughly():
    made = variance_components(np.array([0.7, 0.72, 0.74]), np.tile([0.7, 0.72, 0.74], (50, 1)))
    # The chi-square quantiles of two degrees of freedom.
    assert made.seeds_low == pytest.approx(0.02 * np.sqrt(2 / 7.377759), rel=1e-5)
    assert made.seeds_high == pytest.approx(0.02 * np.sqrt(2 / 0.0506356), rel=1e-5)


def test_the_deviation_between_seeds_lies_in_its_interval_whatever_it_is_of(rng):
    for of_both in (0.0, 0.6):
        for _ in range(50):
            table = study(rng, seeds=3, of_seeds=0.02, of_both=of_both)
            made = variance_components(table.mean(axis=0), drawn(table, rng, 50))
            assert made.between == pytest.approx(table.mean(axis=0).std(ddof=1))
            assert made.seeds_low < made.between < made.seeds_high


def test_one_seed_is_refused():
    with pytest.raises(ValueError, match="needs runs of at least 2 seeds"):
        variance_components(np.array([0.5]), np.full((10, 1), 0.5))
