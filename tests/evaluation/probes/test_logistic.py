import numpy as np
import pytest

from clinical_symile.evaluation.probes._logistic_regression import best_regression, log_loss
from clinical_symile.evaluation.probes.logistic import Logistic


def test_strengths_must_be_above_zero():
    for strengths in ([], [0.0], [1.0, -1.0]):
        with pytest.raises(ValueError, match="expected numbers above 0"):
            Logistic(strengths=strengths)


def test_the_log_loss_is_the_definition_and_finite_for_a_certain_mistake():
    label, probability = np.array([1, 0]), np.array([0.5, 0.25])
    expected = -(np.log(0.5) + np.log(0.75)) / 2
    assert log_loss(label, probability) == pytest.approx(expected)
    assert np.isfinite(log_loss(np.array([1]), np.array([0.0])))


def test_the_strength_with_the_lowest_log_loss_on_tuning_samples_is_used(
    rng: np.random.Generator,
):
    features = rng.normal(size=(40, 30))
    label = (features[:, 0] + rng.normal(size=40) > 0).astype(int)
    tuning = rng.normal(size=(400, 30))
    tuning_label = (tuning[:, 0] + rng.normal(size=400) > 0).astype(int)
    strengths = (0.01, 1.0, 100.0)

    def loss(strengths: tuple[float, ...]) -> float:
        fitted = best_regression(features, label, tuning, tuning_label, strengths=strengths)
        return log_loss(tuning_label, fitted.predict_proba(tuning)[:, 1])

    each = [loss((strength,)) for strength in strengths]
    assert loss(strengths) == pytest.approx(min(each))
    assert max(each) > min(each) + 0.01
