import numpy as np
import pytest

from clinical_symile.metrics.decision_curve import net_benefit, treat_all


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
