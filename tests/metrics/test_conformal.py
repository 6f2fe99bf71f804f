import math

import numpy as np
import pytest

from clinical_symile.metrics.conformal import conformal_threshold, covered, prediction_sets


def test_the_threshold_by_hand():
    # Strangeness of the true class: 0.1, 0.2, 0.4, 0.7. k = ceil(5 x 0.75) = 4; at 0.5, ceil(2.5).
    label, probability = np.array([1, 0, 1, 0]), np.array([0.9, 0.2, 0.6, 0.7])
    assert conformal_threshold(label, probability, np.arange(4), miscoverage=0.25) == pytest.approx(
        0.7
    )
    assert conformal_threshold(label, probability, np.arange(4), miscoverage=0.5) == pytest.approx(
        0.4
    )


def test_with_too_few_tuning_samples_every_set_holds_both():
    threshold = conformal_threshold(
        np.array([1, 0]), np.array([0.9, 0.2]), np.arange(2), miscoverage=0.1
    )
    assert threshold == math.inf
    assert prediction_sets(np.array([0.0, 1.0]), threshold=threshold).all()


def test_sets_by_hand():
    sets = prediction_sets(np.array([0.05, 0.5, 0.95]), threshold=0.3)
    assert sets.tolist() == [[True, False], [False, False], [False, True]]
    assert prediction_sets(np.array([0.5]), threshold=0.5).tolist() == [[True, True]]
    assert covered(sets, np.array([0, 1, 0])).tolist() == [True, False, False]


@pytest.mark.parametrize("miscoverage", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("wrong", [1.0, 5.0])
def test_sets_of_exchangeable_samples_hold_the_truth_as_often_as_promised(miscoverage, wrong, rng):
    """Whatever the model: one of them is far too sure of itself."""
    rates = []
    for _ in range(400):
        log_odds = rng.normal(0, 1.5, 150)
        label = (rng.random(150) < 1 / (1 + np.exp(-log_odds))).astype(int)
        probability = 1 / (1 + np.exp(-wrong * log_odds))
        tuned = label[:99], probability[:99], np.arange(99)
        threshold = conformal_threshold(*tuned, miscoverage=miscoverage)
        sets = prediction_sets(probability[99:], threshold=threshold)
        rates.append(covered(sets, label[99:]).mean())
    assert np.mean(rates) == pytest.approx(1 - miscoverage, abs=0.01)


@pytest.mark.parametrize("miscoverage", [0.0, 1.0])
def test_a_promise_of_all_or_nothing_is_refused(miscoverage):
    with pytest.raises(ValueError, match="expected a number between 0 and 1"):
        conformal_threshold(np.array([1]), np.array([0.5]), np.array([0]), miscoverage=miscoverage)


def test_copies_of_a_sample_change_no_threshold(rng):
    label, probability = rng.integers(2, size=15), rng.random(15)
    alone = conformal_threshold(label, probability, np.arange(15))
    copies = [np.repeat(x, [9] + [1] * 14) for x in (label, probability, np.arange(15))]
    assert conformal_threshold(*copies) == alone


def test_one_subject_of_many_samples_is_one_subject():
    label, probability = np.ones(40, dtype=int), np.linspace(0.5, 1, 40)
    assert conformal_threshold(label, probability, np.zeros(40, dtype=int)) == math.inf
