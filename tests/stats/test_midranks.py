"""Ranks by hand."""

import numpy as np

from clinical_symile.stats.midranks import mid_ranks


def test_equal_values_share_the_mean_of_their_ranks():
    assert mid_ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]


def test_each_row_is_ranked_by_itself():
    values = np.array([[2.0, 1.0], [5.0, 5.0]])
    assert mid_ranks(values, axis=1).tolist() == [[2.0, 1.0], [1.5, 1.5]]
