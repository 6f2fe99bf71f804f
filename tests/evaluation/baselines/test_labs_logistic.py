import numpy as np
import pytest

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.baselines.labs_logistic import LabsLogistic
from clinical_symile.metrics.classification import auroc
from tests.evaluation.baselines.conftest import MakeInputs

SAMPLES = 400


def test_a_value_that_raises_the_risk_is_learned_beside_one_that_is_never_observed(
    make_inputs: MakeInputs, rng: np.random.Generator
):
    labs = rng.normal(size=(SAMPLES, 2))
    labs[:, 1] = np.nan
    label = (labs[:, 0] > 0).astype(int)
    inputs = make_inputs(labs, label)
    made = LabsLogistic().predict(inputs)
    assert auroc(label[inputs.request.rows], made) > 0.99
    order = np.argsort(labs[inputs.request.rows, 0])
    assert (np.diff(made[order]) >= 0).all(), "the logistic curve rises with the value"


def test_a_missing_value_is_the_median_with_a_mark(
    make_inputs: MakeInputs, rng: np.random.Generator
):
    labs = rng.normal(size=(SAMPLES, 1))
    label = rng.integers(0, 2, SAMPLES)
    labs[label == 1] = np.nan
    inputs = make_inputs(labs, label)
    assert auroc(label[inputs.request.rows], LabsLogistic().predict(inputs)) == 1


def test_without_any_value_it_says_why_it_cannot_score(make_inputs: MakeInputs):
    label = np.arange(SAMPLES) % 2
    with pytest.raises(CannotScore, match="no labs are available"):
        LabsLogistic().predict(make_inputs(np.full((SAMPLES, 1), np.nan), label))
