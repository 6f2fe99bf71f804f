import numpy as np
import pytest

from clinical_symile.metrics.base import weighted_mean


def test_the_weighted_form_of_a_mean_repeats_samples():
    values = np.array([0.0, 1.0, 0.5])
    weights = np.array([[1, 1, 1], [0, 2, 1]])
    found = weighted_mean(lambda x: x)(weights, values)
    assert found == pytest.approx([0.5, np.mean([1.0, 1.0, 0.5])])
