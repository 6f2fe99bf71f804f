import numpy as np
import pytest

from clinical_symile.stats.bootstrap import bootstrap, resample
from clinical_symile.stats.resampling import by_weights, jackknife, resample_metric


def mean(values):
    return float(values.mean())


def clustered(rng):
    """Five samples of each of 60 subjects."""
    subjects = np.repeat(np.arange(60), 5)
    return rng.standard_normal(60)[subjects] + 0.3 * rng.standard_normal(300), subjects


def test_all_samples_of_a_subject_are_drawn_together():
    subjects = np.array(["b", "a", "b", "c", "b", "a"])
    available = []

    def remember(drawn):
        available.append(drawn)
        return 0.0

    bootstrap(remember, [subjects], subjects, rng=np.random.default_rng(0), resamples=50)
    sizes = {"a": 2, "b": 3, "c": 1}
    for drawn in available:
        times = {name: (drawn == name).sum() / size for name, size in sizes.items()}
        assert all(count == int(count) for count in times.values())
        assert sum(times.values()) == 3


def test_what_is_resampled_together_has_the_same_people(rng):
    values, subjects = clustered(rng)

    def both(weights, values):
        mean = weights @ values / weights.sum(axis=1)
        return np.stack([mean, -mean], axis=1)

    drawn = resample_metric(both, [values], subjects, rng=rng, resamples=50)
    assert drawn.shape == (50, 2)
    np.testing.assert_array_equal(drawn[:, 0], -drawn[:, 1])


def test_few_weights_at_a_time_give_the_same(rng, monkeypatch):
    values, subjects = clustered(rng)
    form = by_weights(mean)
    whole, without = (
        resample_metric(form, [values], subjects, rng=np.random.default_rng(1), resamples=20),
        jackknife(form, [values], subjects),
    )
    monkeypatch.setattr("clinical_symile.stats.resampling._MAX_WEIGHTS", 700)
    again = resample_metric(form, [values], subjects, rng=np.random.default_rng(1), resamples=20)
    np.testing.assert_array_equal(again, whole)
    np.testing.assert_array_equal(jackknife(form, [values], subjects), without)


def test_the_jackknife_leaves_out_whole_subjects():
    values, subjects = np.array([1.0, 3.0, 8.0, 6.0]), np.array(["b", "a", "b", "c"])
    # Without a: 15 / 3; without b: 9 / 2; without c: 12 / 3.
    assert jackknife(by_weights(mean), [values], subjects).tolist() == [5.0, 4.5, 4.0]


def test_of_many_people_groups_are_left_out_and_the_interval_is_nearly_the_same(rng, monkeypatch):
    values, subjects = rng.lognormal(0, 1, 3000), np.arange(3000)

    def mean(weights, values):
        return weights @ values / weights.sum(axis=1)

    drawn = resample(np.mean, [values], subjects, rng=rng, weighted=mean)
    groups = jackknife(mean, [values], subjects)
    monkeypatch.setattr("clinical_symile.stats.resampling._MAX_LEFT_OUT", 3000)
    people = jackknife(mean, [values], subjects)
    assert (len(groups), len(people)) == (1000, 3000)
    few, all_of_them = (drawn.bca_interval(left_out) for left_out in (groups, people))
    assert few.low == pytest.approx(all_of_them.low, abs=0.03 * (few.high - few.low))
    assert few.high == pytest.approx(all_of_them.high, abs=0.03 * (few.high - few.low))
    assert all_of_them.low > drawn.interval().low
