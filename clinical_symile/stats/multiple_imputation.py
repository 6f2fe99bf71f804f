"""Pool estimates from several imputations of missing values."""

from dataclasses import dataclass
from math import inf

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class PooledEstimate:
    """An estimate from several imputations.

    Attributes:
        value: the mean over imputations.
        within: the mean of the variances of the imputations' estimates.
        between: the variance of the estimates over imputations.
        variance: the total variance, within + (1 + 1 / m) between for m imputations.
        degrees_of_freedom: of the t distribution of the value; infinite if estimates are equal.
    """

    value: float
    within: float
    between: float
    variance: float
    degrees_of_freedom: float


def pool_imputations(
    estimates: Float[np.ndarray, " imputation"], variances: Float[np.ndarray, " variance"]
) -> PooledEstimate:
    """Pool an estimate over imputations by Rubin's rules.

    Source: Rubin, "Multiple Imputation for Nonresponse in Surveys", Wiley 1987, section 3.1.

    Args:
        estimates: the estimate from each completed data set, at least two.
        variances: the sampling variance of each.

    Raises:
        ValueError: there are fewer than two, or another number of variances, or one is negative.
    """
    number = len(estimates)
    if number < 2 or len(variances) != number:
        raise ValueError(
            f"{number} estimates and {len(variances)} variances; expected as many of each, and at "
            "least 2."
        )
    if np.any(variances < 0):
        raise ValueError("a variance is below 0; expected variances of estimates.")
    within, between = float(np.mean(variances)), float(np.var(estimates, ddof=1))
    added = (1 + 1 / number) * between
    freedom = inf if added == 0 else (number - 1) * (1 + within / added) ** 2
    return PooledEstimate(float(np.mean(estimates)), within, between, within + added, freedom)
