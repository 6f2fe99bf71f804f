"""Compute prediction sets with a guaranteed coverage, by split conformal prediction.

A set is {0}, {1}, {0, 1} ("cannot tell") or empty ("unlike all tuning samples"). y belongs to the
set of a sample if 1 - p(y) is at most the k-th smallest of these values of the true classes of n
tuning samples, k = ⌈(n + 1)(1 - e)⌉. If tuning and evaluated samples are exchangeable, sets hold
the true outcome in at least 1 - e of cases on average, for any model. There is no guarantee for a
group of patients, another time or another hospital. Samples of one subject are not exchangeable
with others: with few samples per subject the guarantee holds approximately.

Source: Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005; Angelopoulos and
Bates, "A gentle introduction to conformal prediction", 2021. https://arxiv.org/abs/2107.07511
"""

import math

import numpy as np
from jaxtyping import Bool, Float, Int

MISCOVERAGE = 0.1


def conformal_threshold(
    label: Int[np.ndarray, " sample"],
    probability: Float[np.ndarray, " sample"],
    *,
    miscoverage: float = MISCOVERAGE,
) -> float:
    """Compute the largest 1 - p(y) at which y belongs to a set; infinite with too few samples.

    Args:
        label: of tuning samples.
        probability: of class 1, predicted for them.
        miscoverage: e, how often a set may miss the true outcome.
    """
    if not 0 < miscoverage < 1:
        raise ValueError(f"the miscoverage is {miscoverage:g}; expected a number between 0 and 1.")
    strangeness = np.sort(np.where(label == 1, 1 - probability, probability))
    place = math.ceil(round((len(label) + 1) * (1 - miscoverage), 9))
    return float(strangeness[place - 1]) if 1 <= place <= len(label) else math.inf


def prediction_sets(
    probability: Float[np.ndarray, " sample"], *, threshold: float
) -> Bool[np.ndarray, "sample outcome"]:
    """Return whether 0 and 1 belong to the prediction set of each sample."""
    strangeness = np.stack([probability, 1 - probability], axis=1)
    return strangeness <= threshold


def covered(
    sets: Bool[np.ndarray, "sample outcome"], label: Int[np.ndarray, " sample"]
) -> Bool[np.ndarray, " sample"]:
    """Return whether each set holds the true outcome."""
    return np.take_along_axis(sets, label[:, None], axis=1)[:, 0]
