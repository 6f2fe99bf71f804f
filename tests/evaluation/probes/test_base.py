import numpy as np

from clinical_symile.evaluation.probes.base import LabelledSamples

SAMPLES = LabelledSamples(
    rows=np.array([4, 7]),
    z=np.array([[[1.0, 2.0], [np.nan, 9.0]], [[3.0, 4.0], [5.0, 6.0]]]),
    available=np.array([[True, False], [True, True]]),
    modalities=("ecg", "labs"),
    label=np.array([0, 1]),
)


def test_features_are_embeddings_side_by_side_zero_where_missing_and_then_the_mask():
    expected = [[1.0, 2.0, 0.0, 0.0, 1.0, 0.0], [3.0, 4.0, 5.0, 6.0, 1.0, 1.0]]
    np.testing.assert_array_equal(SAMPLES.features(), expected)


def test_some_of_the_samples_keep_their_own_embeddings_and_labels():
    taken = SAMPLES.take(np.array([1]))
    assert (taken.rows.tolist(), taken.label.tolist()) == ([7], [1])
    np.testing.assert_array_equal(taken.z, SAMPLES.z[1:])
    np.testing.assert_array_equal(taken.available, [[True, True]])
