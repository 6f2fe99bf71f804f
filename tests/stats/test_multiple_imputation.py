"""Rubin's rules by hand, and what they promise."""

import math

import numpy as np
import pytest

from clinical_symile.stats.multiple_imputation import pool_imputations


def test_three_imputations_are_pooled_by_hand():
    found = pool_imputations(np.array([1.0, 2.0, 3.0]), np.array([0.2, 0.4, 0.6]))
    assert found.value == pytest.approx(2)
    assert (found.within, found.between) == pytest.approx((0.4, 1.0))
    assert found.variance == pytest.approx(0.4 + 4 / 3)
    assert found.degrees_of_freedom == pytest.approx(2 * (1 + 0.4 / (4 / 3)) ** 2)


def test_the_pooled_variance_is_that_within_at_least(rng):
    for _ in range(50):
        found = pool_imputations(rng.standard_normal(5), rng.random(5))
        assert found.variance >= found.within
    equal = pool_imputations(np.full(5, 0.3), np.full(5, 0.1))
    assert equal.variance == equal.within == pytest.approx(0.1)
    assert equal.degrees_of_freedom == math.inf


@pytest.mark.parametrize(
    ("estimates", "variances", "message"),
    [
        ([1.0], [0.1], "1 estimates and 1 variances; expected as many of each"),
        ([1.0, 2.0], [0.1], "2 estimates and 1 variances"),
        ([1.0, 2.0], [0.1, -0.1], "a variance is below 0"),
    ],
)
def test_what_cannot_be_pooled_is_refused(estimates, variances, message):
    with pytest.raises(ValueError, match=message):
        pool_imputations(np.array(estimates), np.array(variances))
