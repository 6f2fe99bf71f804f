import numpy as np
import pytest

from clinical_symile.metrics.decision_curve import (
    net_benefit,
    net_benefit_difference,
    treat_all,
)


def test_net_benefit_by_hand():
    # At 0.2 three are treated, two of them rightly: 2/5 - 1/5 x 0.2/0.8.
    # At 0.5 two are treated, one rightly: 1/5 - 1/5 x 1.
    label = np.array([1, 1, 0, 0, 0])
    probability = np.array([0.9, 0.2, 0.6, 0.1, 0.0])
    found = net_benefit(np.ones((1, 5)), label, probability, thresholds=(0.2, 0.5))
    assert found[0] == pytest.approx([2 / 5 - 1 / 5 / 4, 0.0])
    assert treat_all(np.ones((1, 5)), label, thresholds=(0.2, 0.5))[0] == pytest.approx(
        [2 / 5 - 3 / 5 / 4, 2 / 5 - 3 / 5]
    )


def test_weights_count_samples_as_often(rng):
    label, probability = rng.integers(2, size=60), rng.random(60)
    weights = rng.integers(3, size=(5, 60))
    for row, found in zip(weights, net_benefit(weights, label, probability), strict=True):
        drawn = np.repeat(np.arange(60), row)
        alone = net_benefit(np.ones((1, len(drawn))), label[drawn], probability[drawn])[0]
        assert found == pytest.approx(alone, abs=1e-12)


def test_who_knows_the_truth_gains_the_prevalence_at_every_threshold(rng):
    label = rng.integers(2, size=50)
    found = net_benefit(np.ones((1, 50)), label, label.astype(float))
    assert found[0] == pytest.approx(np.full(19, label.mean()))


def test_true_risks_are_never_worse_than_treating_all_or_none(rng):
    risk = rng.beta(1, 3, 200_000)
    label = (rng.random(200_000) < risk).astype(int)
    one = np.ones((1, 200_000))
    found = net_benefit(one, label, risk)[0]
    assert (found > np.maximum(treat_all(one, label)[0], 0) - 0.002).all()


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_threshold_at_the_end_is_refused(threshold):
    with pytest.raises(ValueError, match="a threshold is outside 0 … 1"):
        net_benefit(np.ones((1, 1)), np.array([1]), np.array([0.5]), thresholds=(threshold,))


def test_a_difference_of_net_benefit_has_an_interval_that_holds_it(rng):
    risk = rng.beta(1, 3, size=(200, 150))
    held = []
    for one in risk:
        label = (rng.random(150) < one).astype(int)
        noise = np.clip(one + rng.normal(0, 0.15, 150), 0, 1)
        found = net_benefit_difference(label, one, noise, np.arange(150), threshold=0.3)
        values = net_benefit(np.ones((1, 150)), label, one, thresholds=[0.3])
        values -= net_benefit(np.ones((1, 150)), label, noise, thresholds=[0.3])
        assert found.value == pytest.approx(values[0, 0])
        # In expectation over the label, for the risks that were drawn.
        worth = one - (1 - one) * 3 / 7
        truth = np.mean(((one >= 0.3).astype(float) - (noise >= 0.3)) * worth)
        held.append(found.interval().low <= truth <= found.interval().high)
    assert np.mean(held) > 0.92


def test_runs_that_decide_alike_have_no_difference_of_net_benefit(rng):
    label, risk = rng.integers(2, size=40), rng.random(40)
    with pytest.raises(ValueError, match="decide differently on fewer than 5 samples"):
        net_benefit_difference(label, risk, risk, np.arange(40), threshold=0.3)
