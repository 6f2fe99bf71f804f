import numpy as np
import pytest
from scipy.special import expit

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.baselines.labs_boosting import LabsBoosting
from clinical_symile.metrics.classification import auroc
from tests.evaluation.baselines.conftest import MakeInputs

SAMPLES = 400


def test_a_risk_that_rises_at_both_ends_is_learned_unlike_by_a_line(
    make_inputs: MakeInputs, rng: np.random.Generator
):
    labs = rng.normal(size=(SAMPLES, 1))
    label = (np.abs(labs[:, 0]) > 0.7).astype(int)
    inputs = make_inputs(labs, label)
    assert auroc(label[inputs.request.rows], LabsBoosting().predict(inputs)) > 0.95
    line = expit(labs[inputs.request.rows, 0])
    areas = [auroc(label[inputs.request.rows], risk) for risk in (line, 1 - line)]
    assert max(areas) < 0.7


def test_missing_values_are_read_as_they_are(make_inputs: MakeInputs, rng: np.random.Generator):
    label = rng.integers(0, 2, SAMPLES)
    labs = np.where(label == 1, np.nan, 0.0)[:, None]
    inputs = make_inputs(labs, label)
    assert auroc(label[inputs.request.rows], LabsBoosting().predict(inputs)) == 1


def test_without_any_value_it_says_why_it_cannot_score(make_inputs: MakeInputs):
    label = np.arange(SAMPLES) % 2
    with pytest.raises(CannotScore, match="no labs are available"):
        LabsBoosting().predict(make_inputs(np.full((SAMPLES, 1), np.nan), label))
