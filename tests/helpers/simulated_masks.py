"""Simulated masks of 50,000 samples: sizes, rates and what is close enough."""

from itertools import product

import numpy as np
import pytest

from clinical_symile.missingness.mask_statistics import MaskStatistics, mask_statistics

SAMPLES = 50_000
SIZES, RATES = (2, 3, 4), (0.1, 0.3, 0.5, 0.7)
each_case = pytest.mark.parametrize(("columns", "rate"), list(product(SIZES, RATES)))


def near(value: float):
    """Within the larger of 2 points and 10 %."""
    return pytest.approx(value, abs=max(0.02, 0.1 * abs(value)))


def statistics(hidden: np.ndarray, covariates: np.ndarray) -> MaskStatistics:
    """Statistics of a mask of complete samples."""
    present = np.ones(hidden.shape, dtype=bool)
    names = "abcd"[: hidden.shape[1]]
    return mask_statistics(names, present, ~hidden, covariates)
