"""Statistics of masks that can be counted by hand."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from clinical_symile.missingness.mask_statistics import mask_statistics

COLUMNS = ["ecg", "labs"]
AVAILABLE = np.array([[1, 1], [1, 0], [0, 0], [0, 0], [1, 1], [0, 1]], dtype=bool)
ALL = np.ones(AVAILABLE.shape, dtype=bool)
NONE = np.zeros(AVAILABLE.shape)


def test_samples_with_everything_and_with_nothing_are_counted():
    found = mask_statistics(COLUMNS, ALL, AVAILABLE, NONE)
    assert (found.whole_share, found.empty_share) == (2 / 6, 2 / 6)


def test_the_correlation_of_hiding_is_pearsons_of_zeros_and_ones():
    found = mask_statistics(COLUMNS, ALL, AVAILABLE, NONE)
    # Hidden: ecg 0 0 1 1 0 1, labs 0 1 1 1 0 0; both 2 of 6, each 3 of 6: (2/6 - 1/4) / (1/4).
    assert found.correlation == {"ecg-labs": pytest.approx(1 / 3)}


def test_what_was_not_present_is_not_hidden_and_left_out_of_a_correlation():
    present, available = ALL.copy(), AVAILABLE.copy()
    present[1, 1] = available[1, 1] = False
    found = mask_statistics(COLUMNS, present, available, NONE)
    # Five samples have both: ecg 0 1 1 0 1, labs 0 1 1 0 0.
    expected = np.corrcoef([0, 1, 1, 0, 1], [0, 1, 1, 0, 0])[0, 1]
    assert found.correlation == {"ecg-labs": pytest.approx(expected)}


def test_a_modality_that_is_hidden_never_or_always_has_no_correlation_and_no_slope(rng):
    for constant in (True, False):
        available = AVAILABLE.copy()
        available[:, 0] = constant
        found = mask_statistics(COLUMNS, ALL, available, rng.normal(size=NONE.shape))
        assert found.correlation == {"ecg-labs": None}
        assert found.slope["ecg"] is None


def test_the_slope_is_that_of_a_logistic_regression(rng):
    x = rng.normal(size=(500, 2))
    available = rng.random((500, 2)) > 1 / (1 + np.exp(-(1.2 * x - 0.5)))
    found = mask_statistics(COLUMNS, np.ones((500, 2), dtype=bool), available, x)
    for column, name in enumerate(COLUMNS):
        model = LogisticRegression(C=np.inf, tol=1e-10).fit(x[:, [column]], ~available[:, column])
        assert found.slope[name] == pytest.approx(model.coef_[0, 0], abs=1e-4)


def test_there_is_no_slope_without_a_covariate_or_if_it_separates_hidden_from_available():
    assert mask_statistics(COLUMNS, ALL, AVAILABLE, NONE).slope == {"ecg": None, "labs": None}
    separating = np.where(AVAILABLE, -1.0, 1.0) * np.arange(1, 7)[:, None]
    found = mask_statistics(COLUMNS, ALL, AVAILABLE, separating)
    assert found.slope == {"ecg": None, "labs": None}


def test_numbers_are_named_by_what_they_are_of():
    numbers = mask_statistics(COLUMNS, ALL, AVAILABLE, NONE).to_numbers()
    names = ["whole_share", "empty_share", "correlation/ecg-labs", "slope/ecg", "slope/labs"]
    assert list(numbers) == names


def test_no_samples_have_no_statistics_that_are_not_numbers():
    nothing = np.zeros((0, 2), dtype=bool)
    found = mask_statistics(COLUMNS, nothing, nothing, np.zeros((0, 2)))
    assert (found.whole_share, found.empty_share) == (0.0, 0.0)
    assert found.correlation == {"ecg-labs": None}
