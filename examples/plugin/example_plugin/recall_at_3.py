"""The share of queries whose matching candidate ranks among the first three."""

import numpy as np
from jaxtyping import Float, Int

from clinical_symile.metrics.base import Metric, weighted_mean


def hits_at_3(
    above: Int[np.ndarray, " query"], tied: Int[np.ndarray, " query"]
) -> Float[np.ndarray, " query"]:
    """Return 1 for each hit and 0 for each miss; a tie counts as its share, in expectation.

    Args:
        above: how many candidates score above the matching one.
        tied: how many others score the same.
    """
    return np.clip((3 - above) / (tied + 1), 0, 1)


def recall_at_3(above: Int[np.ndarray, " query"], tied: Int[np.ndarray, " query"]) -> float:
    """Return the mean of `hits_at_3`."""
    return float(hits_at_3(above, tied).mean())


def chance_at_3(candidates: Int[np.ndarray, " query"]) -> float:
    """Return the chance level: three of a query's candidates, or all of a shorter list."""
    return float(np.minimum(3 / candidates, 1).mean())


RECALL_AT_3 = Metric(
    name="recall_at_3",
    compute=recall_at_3,
    columns=("above", "tied"),
    higher_is_better=True,
    low=0.0,
    high=1.0,
    interval="bca",
    chance=chance_at_3,
    each=hits_at_3,
    weighted=weighted_mean(hits_at_3),
    display_name="recall@3",
    description="Recall@3 is how often the correct candidate is among the first 3.",
)
"""The share of queries whose matching candidate ranks among the first three."""
