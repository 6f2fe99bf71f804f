import numpy as np

from clinical_symile.evaluation.baselines.prevalence import Prevalence
from tests.evaluation.baselines.conftest import MakeInputs


def test_every_sample_has_the_share_of_the_training_samples_with_the_outcome(
    make_inputs: MakeInputs,
):
    label = np.array([1, 0, 0, 0, 1, 1, 1, 1])  # one of the four training samples
    made = Prevalence().predict(make_inputs(np.zeros((8, 1)), label))
    assert made.tolist() == [0.25, 0.25]
