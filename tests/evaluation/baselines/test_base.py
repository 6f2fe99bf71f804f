"""Tabular values of a baseline: what is available, and nothing else."""

import numpy as np
import pytest

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.baselines.base import observed_columns, tabular_values
from tests.evaluation.baselines.conftest import MakeInputs


def test_values_of_unavailable_labs_are_nan_and_other_shapes_are_left_out(make_inputs: MakeInputs):
    labs = np.arange(16.0).reshape(8, 2)
    store = make_inputs(labs, np.tile([0, 1], 4)).store
    available = np.array([[True, True, True], [True, True, False]])
    made = tabular_values(store, np.array([3, 5]), available, store.modalities)
    np.testing.assert_array_equal(made, [[6.0, 7.0], [np.nan, np.nan]])


def test_without_a_tabular_modality_there_are_no_columns(make_inputs: MakeInputs):
    store = make_inputs(np.zeros((8, 2)), np.tile([0, 1], 4)).store
    made = tabular_values(store, np.array([0, 1]), np.ones((2, 1), dtype=bool), ("ecg",))
    assert made.shape == (2, 0)


def test_a_column_counts_as_observed_with_one_value():
    values = np.array([[np.nan, 1.0, np.nan], [np.nan, np.nan, 2.0]])
    assert observed_columns(values).tolist() == [False, True, True]
    with pytest.raises(CannotScore, match="no labs are available"):
        observed_columns(np.full((2, 3), np.nan))
