import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from clinical_symile.metrics.classification import (
    auprc,
    auroc,
    brier,
    calibration_error_by_chance,
    expected_calibration_error,
)

samples = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 10)), min_size=2, max_size=40)


@given(samples.filter(lambda rows: len({label for label, _ in rows}) == 2))
def test_areas_and_brier_score_are_those_of_scikit_learn(rows):
    label, tenths = np.array(rows).T
    probability = tenths / 10
    assert auroc(label, probability) == pytest.approx(roc_auc_score(label, probability), abs=1e-12)
    expected = average_precision_score(label, probability)
    assert auprc(label, probability) == pytest.approx(expected, abs=1e-12)
    expected = brier_score_loss(label, probability)
    assert brier(label, probability) == pytest.approx(expected, abs=1e-12)


def test_auroc_by_hand():
    # Of 2 x 2 pairs of a positive and a negative: two right, one tied, one wrong.
    label, probability = np.array([1, 1, 0, 0]), np.array([0.9, 0.4, 0.4, 0.6])
    assert auroc(label, probability) == 2.5 / 4


def test_auprc_by_hand():
    # Recall 1/2 at precision 1/1, then, at the tie, recall 1 at precision 2/3.
    label, probability = np.array([1, 1, 0, 0]), np.array([0.9, 0.4, 0.4, 0.1])
    assert auprc(label, probability) == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)


def test_calibration_error_by_hand():
    # Half the samples in [0.2, 0.3): mean 0.25, observed 1/2; half in [0.9, 1]: 0.95, observed 1.
    label, probability = np.array([0, 1, 1, 1]), np.array([0.2, 0.3 - 1e-12, 0.9, 1.0])
    expected = 1 / 2 * 0.25 + 1 / 2 * 0.05
    assert expected_calibration_error(label, probability) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("metric", "name"), [(auroc, "AUROC"), (auprc, "AUPRC")])
@pytest.mark.parametrize("only", [0, 1])
def test_a_single_class_is_refused(metric, name, only):
    message = f"{name} needs both classes; all labels are equal"
    with pytest.raises(ValueError, match=message):
        metric(np.full(3, only), np.array([0.1, 0.2, 0.3]))


def test_the_calibration_error_of_true_probabilities_is_that_by_chance(rng):
    probability = rng.beta(1, 2, 400)
    drawn = [
        expected_calibration_error((rng.random(400) < probability).astype(int), probability)
        for _ in range(400)
    ]
    (expected,) = calibration_error_by_chance(np.ones((1, 400)), probability)
    assert np.mean(drawn) == pytest.approx(expected, rel=0.05)
