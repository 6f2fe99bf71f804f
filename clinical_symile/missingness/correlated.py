"""Correlate the hiding of modalities, as one event that prevents several measurements does.

Uniform draws become those of a Gaussian copula: z = R^(1/2) Φ⁻¹(u), and u' = Φ(z). A modality with
rate r is hidden where u' < r. The latent correlation of each pair of modalities is solved for. The
hiding itself, a variable of 0 and 1, then has the stated correlation.
"""

from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from scipy.special import ndtr, ndtri  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from scipy.stats import multivariate_normal  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

# The smallest eigenvalue of a latent correlation matrix.
_LEAST_EIGENVALUE = 1e-9


def correlate(
    draws: Float[np.ndarray, "sample column"],
    rates: Float[np.ndarray, " column"],
    correlation: float,
) -> Float[np.ndarray, "sample column"]:
    """Return uniform draws with which hiding at the rates has a correlation.

    Args:
        draws: independent uniform numbers.
        rates: the hidden share of each column; columns with rate 0 stay as they are.
        correlation: the correlation of the hiding of any two columns.

    Raises:
        ValueError: the correlation is larger than `largest_correlation`.
    """
    columns = np.flatnonzero(rates > 0)
    latent = _latent_correlations(tuple(rates[columns].tolist()), correlation)
    values, vectors = np.linalg.eigh(latent)
    if values.min() < -_LEAST_EIGENVALUE:
        raise ValueError(
            f"rates {rates.tolist()} do not allow a correlation of {correlation}; expected at most "
            f"{largest_correlation(rates):.2f}."
        )
    root = vectors @ np.diag(np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    correlated = draws.copy()
    correlated[:, columns] = ndtr(ndtri(draws[:, columns]) @ root)
    return correlated


def largest_correlation(rates: Float[np.ndarray, " column"]) -> float:
    """Return the largest correlation, in whole percents, that the hiding at some rates can have.

    Variables of 0 and 1 with different means cannot correlate perfectly.
    """
    used = tuple(rates[rates > 0].tolist())
    return max((c for c in range(100) if _is_reachable(used, c / 100)), default=0) / 100


def _is_reachable(rates: tuple[float, ...], correlation: float) -> bool:
    """Return whether a Gaussian copula gives the correlation to all pairs at once."""
    try:
        latent = _latent_correlations(rates, correlation)
    except ValueError:
        return False
    return bool(np.linalg.eigvalsh(latent).min() >= -_LEAST_EIGENVALUE)


@lru_cache(maxsize=512)
def _latent_correlations(
    rates: tuple[float, ...], correlation: float
) -> Float[np.ndarray, "column column"]:
    """Solve for the latent correlation of each pair.

    Raises:
        ValueError: a pair cannot have the correlation.
    """
    latent = np.eye(len(rates))
    for i, j in combinations(range(len(rates)), 2):
        latent[i, j] = latent[j, i] = _latent_correlation(rates[i], rates[j], correlation)
    return latent


@lru_cache(maxsize=4096)
def _latent_correlation(first: float, second: float, correlation: float) -> float:
    """Solve for the latent correlation of two columns with given rates."""
    spread = np.sqrt(first * (1 - first) * second * (1 - second))
    wanted = first * second + correlation * spread
    if wanted > min(first, second) + 1e-12:
        raise ValueError(f"rates {first} and {second} do not allow a correlation of {correlation}.")
    if not correlation:
        return 0.0
    limits = ndtri([first, second])

    def excess(latent: float) -> float:
        normal: Any = multivariate_normal  # its stubs take `cov` for a number
        cdf = normal.cdf(limits, cov=[[1.0, latent], [latent, 1.0]], allow_singular=True)
        return float(cdf) - wanted

    highest = 1 - 1e-9
    if excess(highest) <= 0:
        return highest
    root: Any = brentq(excess, 0.0, highest, xtol=1e-6)  # pyright: ignore[reportUnknownVariableType]
    return float(root)  # pyright: ignore[reportUnknownArgumentType]
