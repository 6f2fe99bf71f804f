import numpy as np

from clinical_symile.evaluation.baselines.mask_only import MaskOnly
from clinical_symile.metrics.classification import auroc
from tests.evaluation.baselines.conftest import MakeInputs

SAMPLES = 400


def test_it_predicts_from_which_values_are_there_and_not_from_the_values(
    make_inputs: MakeInputs, rng: np.random.Generator
):
    label = rng.integers(0, 2, SAMPLES)
    labs = rng.normal(size=(SAMPLES, 2))
    labs[label == 1, 1] = np.nan
    inputs = make_inputs(labs, label)
    made = MaskOnly().predict(inputs)
    assert auroc(label[inputs.request.rows], made) == 1
    other = make_inputs(np.where(np.isnan(labs), np.nan, rng.normal(5, 9, labs.shape)), label)
    np.testing.assert_array_equal(MaskOnly().predict(other), made)


def test_it_reads_which_modalities_are_available(make_inputs: MakeInputs, rng: np.random.Generator):
    label = rng.integers(0, 2, SAMPLES)
    available = np.ones((SAMPLES, 3), dtype=bool)
    available[label == 1, 0] = False
    inputs = make_inputs(np.zeros((SAMPLES, 1)), label, available=available)
    assert auroc(label[inputs.request.rows], MaskOnly().predict(inputs)) == 1
